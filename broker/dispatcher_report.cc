#include "broker/dispatcher_report.h"

#include <utility>

namespace millrace {
namespace {

constexpr int kReportVersion = 1;

nlohmann::json CauseJson(const Error& cause) {
  return {{"code", cause.traits().name},
          {"blame", NameOf(cause.traits().blame)},
          {"detail", cause.what()},
          {"context", cause.context()}};
}

// The error of an attempt that failed with its time, worker and fence; null for any other.
nlohmann::json FailureJson(const Attempt& attempt) {
  if (!attempt.failure.is_object()) return nullptr;
  nlohmann::json json = attempt.failure.value("error", nlohmann::json::object());
  json["fence"] = attempt.fence;
  json["worker"] = attempt.worker;
  if (attempt.finished_at) json["at"] = FormatTime(*attempt.finished_at);
  return json;
}

}  // namespace

bool KeepsFolder(const Attempt& attempt) {
  if (attempt.outcome != "failed" || !attempt.failure.is_object()) return false;
  const Error error = ErrorFromJson(attempt.failure.value("error", nlohmann::json::object()));
  return error.traits().retry != RetryClass::kInfrastructure;
}

DeadLetter MakeDeadLetter(const JobEntry& entry, const Error& cause, WallTime died_at) {
  const Job& job = entry.job;
  DeadLetter letter{.job_id = job.id, .report = {}, .input = job.request.input, .attempts = {}};
  nlohmann::json attempts = nlohmann::json::array();
  nlohmann::json first;
  nlohmann::json last;
  for (const Attempt& attempt : entry.attempts) {
    attempts.push_back(ToJson(attempt));
    if (KeepsFolder(attempt)) letter.attempts.emplace_back(attempt.task_id, attempt.fence);
    nlohmann::json failure = FailureJson(attempt);
    if (failure.is_null()) continue;
    if (first.is_null()) first = failure;
    last = std::move(failure);
  }
  nlohmann::json request = ToJson(job.request);
  nlohmann::json spec = request["spec"];
  letter.report = {{"version", kReportVersion},         {"job", job.id},
                   {"generation", job.generation},      {"external_id", job.request.external_id},
                   {"labels", job.request.labels},      {"created_at", FormatTime(job.created_at)},
                   {"died_at", FormatTime(died_at)},    {"error", CauseJson(cause)},
                   {"first_failure", std::move(first)}, {"last_failure", std::move(last)},
                   {"attempts", std::move(attempts)},   {"input", ToJson(job.request.input)},
                   {"input_facts", job.input_facts},    {"media", job.media},
                   {"request", std::move(request)},     {"spec", std::move(spec)}};
  return letter;
}

}  // namespace millrace
