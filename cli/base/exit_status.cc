#include "cli/base/exit_status.h"

#include "cli/base/json_text.h"

namespace millrace::cli {

ExitStatus ExitStatusOf(const Error& error) {
  const ErrorTraits& traits = error.traits();
  if (traits.http_status == 404) return kExitNotFound;
  // Go by the HTTP status if there is one: storage_full without it is a full disk of this machine,
  // and a proxy in front of the service has codes of its own.
  if (Whole(Member(error.context(), "problem"), "status") >= 502) return kExitUnavailable;
  if (traits.blame == Blame::kService && traits.http_status >= 503) return kExitUnavailable;
  if (traits.blame == Blame::kRequest && traits.code != ErrorCode::kJobFinished) return kExitUsage;
  return kExitFailed;
}

ExitStatus ExitStatusOf(const nlohmann::json& ended_job) {
  return ended_job.at("state") == "succeeded" ? kExitOk : kExitFailed;
}

}  // namespace millrace::cli
