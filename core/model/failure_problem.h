#pragma once

#include <nlohmann/json.hpp>

#include "core/base/error.h"

namespace millrace {

// The problem object of the error that a job or an attempt ended with: ProblemJson, and what is
// known of the failure. An error's context holds whatever programs found worth a log line; of it
// clients see the facts that docs/http-api.md lists, and nothing else:
//
//   "context": {"stage","stream","codec","pts_seconds","byte_offset","ffmpeg",
//               "phase","media_seconds","signal","exit_status"}   where any of them is known
//   "earlier_job"   of media that was known to crash encoders: the job that found it out
//
// Of `poison` the facts are those of the crash behind it (context.last_error).
nlohmann::json FailureProblemJson(const Error& error);

}  // namespace millrace
