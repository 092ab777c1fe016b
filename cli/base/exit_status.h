#pragma once

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace millrace::cli {

// What the programs that call us can tell from the status; --help and README.md list them.
enum ExitStatus : int {
  kExitOk = 0,
  kExitFailed = 1,       // a job ended badly, or the command could not do its work
  kExitUsage = 2,        // wrong options, or a request that the service refused as wrong
  kExitNotFound = 3,     // no such file, job, upload, output, preset, dead letter
  kExitUnavailable = 4,  // the service cannot be reached, or cannot do it at present
};

// How an error of the service, or one of reaching it, ends the program.
ExitStatus ExitStatusOf(const Error& error);

// Where a job that has ended lets the program end.
ExitStatus ExitStatusOf(const nlohmann::json& ended_job);

}  // namespace millrace::cli
