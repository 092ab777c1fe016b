#include "transcoder/worker/child/memory_watch.h"

#include <algorithm>
#include <charconv>
#include <fstream>
#include <optional>
#include <string>

namespace millrace::worker {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kKibibyte = 1024;

// The number after `key` in a file of "key number" lines ("MemTotal:  123 kB" is one too).
std::optional<int64_t> ReadCounter(const fs::path& file, const std::string& key) {
  std::ifstream lines(file);
  std::string word;
  for (std::string line; std::getline(lines, line);) {
    if (!line.starts_with(key + " ")) continue;
    const size_t digits = line.find_first_not_of(' ', key.size());
    int64_t value = 0;
    const char* end = line.data() + line.size();
    if (digits != std::string::npos &&
        std::from_chars(line.data() + digits, end, value).ec == std::errc()) {
      return value;
    }
  }
  return std::nullopt;
}

// Returns nullopt for "max" and for a missing file.
std::optional<int64_t> ReadNumber(const fs::path& file) {
  std::ifstream stream(file);
  int64_t value = 0;
  if (!(stream >> value)) return std::nullopt;
  return value;
}

struct MemoryGroup {
  fs::path folder;
  const char* limit;
  const char* counters;
};

// Finds our cgroup. /proc/self/cgroup has "0::/path" for version 2 and "7:memory:/path" for version
// 1. In a container the path may be one of the host's; then the mount itself is our group.
std::optional<MemoryGroup> FindGroup(const fs::path& root) {
  std::ifstream lines(root / "proc/self/cgroup");
  const fs::path mount = root / "sys/fs/cgroup";
  for (std::string line; std::getline(lines, line);) {
    const size_t first = line.find(':');
    const size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controller = line.substr(first + 1, second - first - 1);
    if (controller != "memory" && !controller.empty()) continue;
    const bool old = !controller.empty();
    const fs::path base = old ? mount / "memory" : mount;
    const char* limit = old ? "memory.limit_in_bytes" : "memory.max";
    const char* counters = old ? "memory.oom_control" : "memory.events";
    const fs::path own = base / fs::path(line.substr(second + 1)).relative_path();
    for (const fs::path& folder : {own, base}) {
      if (fs::exists(folder / counters)) return MemoryGroup{folder, limit, counters};
    }
  }
  return std::nullopt;
}

}  // namespace

MemoryWatch::MemoryWatch(const fs::path& root) : counter_(root / "proc/vmstat") {
  limit_bytes_ = ReadCounter(root / "proc/meminfo", "MemTotal:").value_or(0) * kKibibyte;
  const std::optional<MemoryGroup> group = FindGroup(root);
  if (!group) return;
  if (ReadCounter(group->folder / group->counters, "oom_kill")) {
    counter_ = group->folder / group->counters;
  }
  if (const auto limit = ReadNumber(group->folder / group->limit)) {
    limit_bytes_ = limit_bytes_ > 0 ? std::min(limit_bytes_, *limit) : *limit;
  }
}

int64_t MemoryWatch::OomKills() const { return ReadCounter(counter_, "oom_kill").value_or(0); }

}  // namespace millrace::worker
