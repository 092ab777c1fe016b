#pragma once

#include <nlohmann/json.hpp>

#include "core/base/error.h"
#include "core/base/mutex.h"
#include "core/model/task.h"

namespace millrace::encode {

// Where a task tells how it goes: one JSON object a line. The last line is one result or one error.
// Thread-safe. A reader that has gone away ends nothing: the worker kills a task that it does not
// want any more.
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
