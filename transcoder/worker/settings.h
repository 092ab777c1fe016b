#pragma once

#include <chrono>
#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "core/base/settings.h"

namespace millrace::worker {

// The operator's settings of one worker. Constant after main() has filled it in.
struct WorkerSettings {
  CommonSettings common;
  std::string name;  // stable over restarts; empty: <hostname>/1
  int slots = 1;
  int probe_slots = 2;
  int threads = 0;                  // of each task; 0: cores / slots
  std::vector<std::string> labels;  // "key=value"
  std::filesystem::path encoder;    // empty: millrace-encode beside this program
  std::filesystem::path library_dir;
  std::filesystem::path alive_file;  // touched at each answer of the broker; empty: none
  std::chrono::milliseconds stall_timeout = std::chrono::seconds(120);
  std::chrono::milliseconds drain_timeout = std::chrono::seconds(30);
};

void AddWorkerSettings(SettingsParser& parser, WorkerSettings& settings);

// Completes settings that were left empty. Throws Error{kInvalidRequest} naming one that makes no
// sense.
void FinishWorkerSettings(WorkerSettings& settings);

// "key=value" of each label, as an object's members. Throws Error{kInvalidRequest}.
std::map<std::string, std::string> ParseLabels(const std::vector<std::string>& labels);

// The number of processors that this process may run on.
int CountCores();

}  // namespace millrace::worker
