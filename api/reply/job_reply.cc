#include "api/reply/job_reply.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "api/reply/replies.h"
#include "core/base/json_text.h"
#include "core/model/job.h"

namespace millrace::api {
namespace {

// FNV-1a; it tells states of one job apart and need not resist anybody.
uint64_t HashOf(std::string_view text) {
  uint64_t hash = 14695981039346656037u;
  for (const char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 1099511628211u;
  return hash;
}

}  // namespace

std::string JobPath(const std::string& job_id) { return "/v1/jobs/" + job_id; }

nlohmann::json WithLinks(nlohmann::json job) {
  const std::string self = JobPath(job.at("id").get<std::string>());
  job["links"] = {{"self", self}, {"attempts", self + "/attempts"}, {"events", self + "/events"}};
  if (!IsFinished(job) && job.at("state") != NameOf(JobState::kPublishing)) {
    job["links"]["cancel"] = self + "/cancel";
  }
  if (job.at("state") == NameOf(JobState::kDead)) {
    job["links"]["dead_letter"] = "/v1/dead-letters/" + job.at("id").get<std::string>();
  }
  for (nlohmann::json& output : job.at("outputs")) {
    for (nlohmann::json& file : output.at("files")) {
      file["url"] =
          self + "/outputs/" + PercentEncodedPath(file.at("path").get_ref<const std::string&>());
    }
  }
  return job;
}

bool IsFinished(const nlohmann::json& job) {
  const auto state = JobStateFromName(job.at("state").get_ref<const std::string&>());
  return state && IsTerminal(*state);
}

std::string EtagOf(const nlohmann::json& job) {
  return fmt::format("\"{:016x}\"", HashOf(ToText(job)));
}

std::chrono::seconds RetryAfterOf(const nlohmann::json& job) {
  const nlohmann::json& eta = job.at("progress").at("eta_seconds");
  if (!eta.is_number()) return std::chrono::seconds(1);
  const double quarter = std::ceil(eta.get<double>() / 4);
  return std::chrono::seconds(static_cast<int>(std::clamp(quarter, 1.0, 30.0)));
}

http::Response JobResponse(int status, nlohmann::json job, http::Headers headers) {
  headers.Set("ETag", EtagOf(job));
  if (!IsFinished(job)) {
    headers.Set("Retry-After", std::to_string(RetryAfterOf(job).count()));
  }
  return JsonResponse(status, WithLinks(std::move(job)), std::move(headers));
}

}  // namespace millrace::api
