#include "tests/system/process_table.h"

#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>

namespace millrace::harness {
namespace {

namespace fs = std::filesystem;

struct Stat {
  char state = 'X';
  pid_t parent = 0;
  int64_t user_ticks = 0;
  int64_t system_ticks = 0;
};

std::optional<Stat> ReadStat(pid_t pid) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/stat");
  std::string line;
  if (!std::getline(file, line)) return std::nullopt;
  // Skip the name in parentheses, which may contain any character.
  const size_t end_of_name = line.rfind(')');
  if (end_of_name == std::string::npos) return std::nullopt;
  std::istringstream rest(line.substr(end_of_name + 1));
  Stat stat;
  std::string skipped;
  rest >> stat.state >> stat.parent;
  for (int field = 5; field <= 13; ++field) rest >> skipped;
  rest >> stat.user_ticks >> stat.system_ticks;
  return stat;
}

int64_t StatusBytes(pid_t pid, const std::string& key) {
  std::ifstream file("/proc/" + std::to_string(pid) + "/status");
  std::string line;
  while (std::getline(file, line)) {
    if (line.starts_with(key + ":")) return std::stoll(line.substr(key.size() + 1)) * 1024;
  }
  return 0;
}

std::vector<pid_t> AllProcesses() {
  std::vector<pid_t> all;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    const std::string name = entry.path().filename();
    pid_t pid = 0;
    const auto [end, error] = std::from_chars(name.data(), name.data() + name.size(), pid);
    if (error == std::errc() && end == name.data() + name.size()) all.push_back(pid);
  }
  return all;
}

}  // namespace

std::vector<pid_t> ChildrenOf(pid_t parent) {
  std::vector<pid_t> children;
  for (const pid_t pid : AllProcesses()) {
    const auto stat = ReadStat(pid);
    if (stat && stat->parent == parent && stat->state != 'Z') children.push_back(pid);
  }
  return children;
}

std::vector<pid_t> DescendantsOf(pid_t ancestor) {
  std::vector<pid_t> found = ChildrenOf(ancestor);
  for (size_t i = 0; i < found.size(); ++i) {
    for (const pid_t child : ChildrenOf(found[i])) found.push_back(child);
  }
  return found;
}

std::string ProgramNameOf(pid_t pid) {
  std::error_code gone;
  return fs::read_symlink("/proc/" + std::to_string(pid) + "/exe", gone).filename();
}

bool IsAlive(pid_t pid) {
  const auto stat = ReadStat(pid);
  return stat && stat->state != 'Z' && stat->state != 'X';
}

int64_t ResidentBytes(pid_t pid) { return StatusBytes(pid, "VmRSS"); }

int64_t PeakResidentBytes(pid_t pid) { return StatusBytes(pid, "VmHWM"); }

double CpuSeconds(pid_t pid) {
  const auto stat = ReadStat(pid);
  if (!stat) return 0;
  return static_cast<double>(stat->user_ticks + stat->system_ticks) /
         static_cast<double>(sysconf(_SC_CLK_TCK));
}

}  // namespace millrace::harness
