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

// Loads what libraries load lazily from files that the sandbox hides, and keeps codecs from
// introducing themselves on standard error. Starts no thread.
void PrepareProcess();

// Makes this process the one of a task: reads its document, enters the sandbox, runs it. Returns
// the exit status: 0 for success, 1 for a failure that was reported. Never throws.
int RunTaskProcess(const std::string& task_path, const TaskProcessOptions& options);

}  // namespace millrace::encode
