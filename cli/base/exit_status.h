#pragma once

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace millrace::cli {

// The exit statuses of `millrace`, for scripts; --help and README.md list them.
enum ExitStatus : int {
  kExitOk = 0,
  kExitFailed = 1,       // a job is dead or was cancelled, or the command failed
  kExitUsage = 2,        // wrong options, or the service refused the request as invalid
  kExitNotFound = 3,     // no such file, job, upload, output, preset or dead letter
  kExitUnavailable = 4,  // the service cannot be reached, or cannot serve the request now
};

// Returns the status for an error that the service answered, or that kept it from answering.
ExitStatus ExitStatusOf(const Error& error);

// Returns the status for a job that has ended.
ExitStatus ExitStatusOf(const nlohmann::json& ended_job);

}  // namespace millrace::cli
