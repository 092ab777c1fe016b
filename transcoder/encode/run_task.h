#pragma once

#include <string>

#include "core/model/task.h"
#include "transcoder/encode/base/report.h"

namespace millrace::encode {

// Runs one task and reports how it ended. Never throws. Returns true if the task succeeded. Run one
// task at a time: FFmpeg's log belongs to the process.
bool RunTask(const TaskDocument& task, Report& report);

// Returns the facts that probing finds in a file. Throws as InputFile does.
nlohmann::json ProbeFile(const std::string& path);

}  // namespace millrace::encode
