#include "transcoder/encode/process/task_process.h"

#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "core/base/log.h"
#include "core/base/sha256.h"
#include "transcoder/encode/base/failure.h"
#include "transcoder/encode/base/ffmpeg_log.h"
#include "transcoder/encode/process/sandbox.h"
#include "transcoder/encode/run_task.h"

namespace millrace::encode {
namespace {

TaskDocument ReadTask(const std::string& path) {
  std::ifstream file(path);
  if (!file) throw Error(ErrorCode::kInvalidRequest, "the task document cannot be read: " + path);
  const nlohmann::json json = nlohmann::json::parse(file, nullptr, false);
  if (json.is_discarded()) {
    throw Error(ErrorCode::kInvalidRequest, "the task document is not JSON: " + path);
  }
  return TaskFromJson(json);
}

int FailWith(Report& report, const Error& error) {
  const Error placed = WithPlace(error, {.stage = "open"});
  LogError("the task could not be started", ToJson(placed));
  report.Failed(placed);
  return 1;
}

}  // namespace

void PrepareProcess() {
  StartFfmpegLog();
  // Silences SVT-AV1, which would introduce itself in the worker's log. An operator's own setting
  // wins.
  setenv("SVT_LOG", "1", 0);
  // Makes a file that grows too large, and a reader that has gone, errors of the write instead of
  // deadly signals.
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  // Makes OpenSSL read its configuration now: in the sandbox it could not.
  const Sha256 first_use;
}

int RunTaskProcess(const std::string& task_path, const TaskProcessOptions& options) {
  Report report(options.report_fd);
  try {
    const TaskDocument task = ReadTask(task_path);
    if (options.sandbox) {
      EnterSandbox({.input_path = task.input_path,
                    .output_dir = task.output_dir,
                    .max_file_bytes = options.max_file_bytes});
    }
    return RunTask(task, report) ? 0 : 1;
  } catch (const Error& error) {
    return FailWith(report, error);
  } catch (const std::exception& error) {
    return FailWith(report, Error(ErrorCode::kInternal, error.what()));
  }
}

}  // namespace millrace::encode
