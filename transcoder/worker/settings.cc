#include "transcoder/worker/settings.h"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <array>

#include "core/base/error.h"

namespace millrace::worker {
namespace {

namespace fs = std::filesystem;

constexpr int kMaxSlots = 1024;

std::string DefaultName() {
  std::array<char, 256> host{};
  if (gethostname(host.data(), host.size() - 1) != 0) return "worker/1";
  return std::string(host.data()) + "/1";
}

fs::path BesideThisProgram(const char* name) {
  return fs::read_symlink("/proc/self/exe").parent_path() / name;
}

void CheckCount(const char* name, int value, int low) {
  if (value >= low && value <= kMaxSlots) return;
  throw Error(ErrorCode::kInvalidRequest, std::string("--") + name + " must lie between " +
                                              std::to_string(low) + " and " +
                                              std::to_string(kMaxSlots));
}

}  // namespace

void AddWorkerSettings(SettingsParser& parser, WorkerSettings& settings) {
  AddCommonSettings(parser, settings.common);
  parser.Add("name", settings.name, "Name that stays over restarts (default: <hostname>/1)");
  parser.Add("slots", settings.slots, "Tasks run at the same time");
  parser.Add("probe-slots", settings.probe_slots, "Probes run beside them at the same time");
  parser.Add("threads", settings.threads, "Threads of each task; 0 shares the cores out");
  parser.Add("label", settings.labels, "key=value shown in /v1/workers; may be repeated");
  parser.Add("encoder", settings.encoder, "Path of millrace-encode (default: beside this program)");
  parser.Add("library-dir", settings.library_dir, "Folder of the inputs that are given by path");
  parser.Add("alive-file", settings.alive_file,
             "File that is touched whenever the broker has answered, for health checks");
  parser.Add("stall-timeout", settings.stall_timeout,
             "An encoder that makes no progress for this long is killed");
  parser.AddFromZero("drain-timeout", settings.drain_timeout,
                     "How long running tasks may take to finish after SIGTERM");
}

void FinishWorkerSettings(WorkerSettings& settings) {
  FinishCommonSettings(settings.common, "millrace-worker");
  CheckCount("slots", settings.slots, 1);
  CheckCount("probe-slots", settings.probe_slots, 0);
  CheckCount("threads", settings.threads, 0);
  ParseLabels(settings.labels);
  if (settings.name.empty()) settings.name = DefaultName();
  if (settings.encoder.empty()) settings.encoder = BesideThisProgram("millrace-encode");
  settings.encoder = fs::absolute(settings.encoder).lexically_normal();
  if (settings.threads == 0) settings.threads = std::max(1, CountCores() / settings.slots);
}

std::map<std::string, std::string> ParseLabels(const std::vector<std::string>& labels) {
  std::map<std::string, std::string> parsed;
  for (const std::string& label : labels) {
    const size_t equals = label.find('=');
    if (equals == 0 || equals == std::string::npos) {
      throw Error(ErrorCode::kInvalidRequest, "--label is key=value, not '" + label + "'");
    }
    parsed[label.substr(0, equals)] = label.substr(equals + 1);
  }
  return parsed;
}

int CountCores() {
  cpu_set_t set;
  CPU_ZERO(&set);
  if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
  return std::max(1, CPU_COUNT(&set));
}

}  // namespace millrace::worker
