#pragma once

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace millrace {

// Returns the problem object of the error that ended a job or an attempt: ProblemJson with the
// facts of the failure. Of an error's context, which may hold anything worth logging, clients see
// only the facts that docs/http-api.md lists:
//
//   "context": {"stage","stream","codec","pts_seconds","byte_offset","ffmpeg",
//               "phase","media_seconds","signal","exit_status"}   if any of them is known
//   "earlier_job"   for media that was known to crash encoders: the job that showed this first
//
// For `poison` the facts are those of the crash behind it (context.last_error).
nlohmann::json FailureProblemJson(const Error& error);

}  // namespace millrace
