#pragma once

#include <string>

#include "core/model/task.h"
#include "transcoder/encode/base/report.h"

namespace millrace::encode {

// The encoder's door: runs one task and reports how it ended. Never throws. Returns true if the
// task succeeded. One task at a time: FFmpeg's log is the process's, and so is the task's.
bool RunTask(const TaskDocument& task, Report& report);

// What probing finds in a file. Throws as InputFile does.
nlohmann::json ProbeFile(const std::string& path);

}  // namespace millrace::encode
