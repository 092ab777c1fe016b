#pragma once

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/mutex.h"
#include "core/model/task.h"

namespace millrace::encode {

// Reports the progress and the end of a task: one JSON object a line, the last of them a result or
// an error. Thread-safe. Errors of writing are ignored: if the worker has gone, it kills the task.
class Report {
 public:
  // `fd` must outlive the report; it is not closed.
  explicit Report(int fd) : fd_(fd) {}

  void Started();
  void Media(const nlohmann::json& media);
  void Made(const Progress& progress);
  void Succeeded(const Manifest& manifest);
  void Failed(const Error& error);

 private:
  void Write(const nlohmann::json& line);

  const int fd_;
  Mutex mutex_;  // held while a line is written, so that lines stay whole
};

}  // namespace millrace::encode
