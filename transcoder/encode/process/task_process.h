#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace millrace::encode {

struct TaskProcessOptions {
  int report_fd = 1;
  bool sandbox = true;
  std::optional<uint64_t> max_file_bytes;
};

// Makes libraries load now what they would later load from files that the sandbox hides, and
// silences codecs that introduce themselves on standard error. Starts no thread.
void PrepareProcess();

// Runs a task as this process: reads its document, enters the sandbox, transcodes. Returns the exit
// status: 0 for success, 1 for a failure that was reported. Never throws.
int RunTaskProcess(const std::string& task_path, const TaskProcessOptions& options);

}  // namespace millrace::encode
