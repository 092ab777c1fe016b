#include "broker/dispatcher/report.h"

#include <utility>

#include "broker/ledger/failure_signature.h"

namespace millrace::broker {
namespace {

constexpr int kReportVersion = 2;

nlohmann::json CauseJson(const Error& cause) {
  return {{"code", cause.traits().name},
          {"blame", NameOf(cause.traits().blame)},
          {"detail", cause.what()},
          {"context", cause.context()}};
}

// Returns the error of a failed attempt, with its time, worker and fence; null for any other.
nlohmann::json FailureJson(const Attempt& attempt) {
  if (!attempt.failure.is_object()) return nullptr;
  nlohmann::json json = attempt.failure.value("error", nlohmann::json::object());
  json["fence"] = attempt.fence;
  json["worker"] = attempt.worker;
  if (attempt.finished_at) json["at"] = FormatTime(*attempt.finished_at);
  return json;
}

nlohmann::json SignatureJson(const Error& cause) {
  const FailureSignature signature = SignatureOf(cause);
  return {{"id", signature.id},
          {"text", signature.text},
          {"stage", signature.stage},
          {"codec", signature.codec}};
}

// Writes the task as a worker would have been given it, with the paths of the dead-letter folder.
nlohmann::json TaskJson(const JobEntry& entry) {
  TaskDocument task;
  task.job_id = entry.job.id;
  for (const TaskEntry& one : entry.tasks) {
    task.task_id = one.record.id;
    task.fence = one.record.fence;
  }
  if (!entry.attempts.empty()) task.attempt = entry.attempts.back().number;
  task.input_path = entry.job.request.input.path;
  task.input_name = InputFact(entry.job, "name");
  task.spec = entry.job.request.spec;
  return ToJson(task);
}

// Returns the code with which a single run of the encoder fails if it fails as the job did. Poison
// shows itself as a crash.
std::string CodeToReproduce(const Error& cause) {
  if (cause.code() != ErrorCode::kPoison) return std::string(cause.traits().name);
  const auto crash = cause.context().find("last_error");
  const bool known = crash != cause.context().end() && crash->is_object();
  return std::string(
      TraitsOf(known ? ErrorFromJson(*crash).code() : ErrorCode::kEncoderCrashed).name);
}

}  // namespace

bool KeepsFolder(const Attempt& attempt) {
  if (attempt.outcome != "failed" || !attempt.failure.is_object()) return false;
  const Error error = ErrorFromJson(attempt.failure.value("error", nlohmann::json::object()));
  return error.traits().retry != RetryClass::kInfrastructure;
}

DeadLetter MakeDeadLetter(const JobEntry& entry, const Error& cause, WallTime died_at) {
  const Job& job = entry.job;
  DeadLetter letter{.job_id = job.id,
                    .report = {},
                    .input = job.request.input,
                    .attempts = {},
                    .task = TaskJson(entry),
                    .expected_code = CodeToReproduce(cause),
                    .abandon = {}};
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
  letter.report = {{"version", kReportVersion},
                   {"job", job.id},
                   {"generation", job.generation},
                   {"external_id", job.request.external_id},
                   {"labels", job.request.labels},
                   {"created_at", FormatTime(job.created_at)},
                   {"died_at", FormatTime(died_at)},
                   {"error", CauseJson(cause)},
                   {"signature", SignatureJson(cause)},
                   {"first_failure", std::move(first)},
                   {"last_failure", std::move(last)},
                   {"attempts", std::move(attempts)},
                   {"input", ToJson(job.request.input)},
                   {"input_facts", job.input_facts},
                   {"media", job.media},
                   {"request", std::move(request)},
                   {"spec", std::move(spec)}};
  return letter;
}

DeadLetterRecord MakeDeadLetterRecord(const JobEntry& entry, const Error& cause, WallTime died_at) {
  FailureSignature signature = SignatureOf(cause);
  return {.job_id = entry.job.id,
          .generation = entry.job.generation,
          .state = DeadLetterRecord::State::kOpen,
          .died_at = died_at,
          .closed_at = std::nullopt,
          .code = std::string(cause.traits().name),
          .blame = std::string(NameOf(cause.traits().blame)),
          .detail = cause.what(),
          .stage = std::move(signature.stage),
          .codec = std::move(signature.codec),
          .signature = std::move(signature.id),
          .signature_text = std::move(signature.text),
          .input_name = InputFact(entry.job, "name"),
          .input_sha256 = InputFact(entry.job, "sha256"),
          .worker = entry.attempts.empty() ? "" : entry.attempts.back().worker};
}

std::string InputFact(const Job& job, const char* key) {
  if (!job.input_facts.is_object()) return "";
  const auto found = job.input_facts.find(key);
  return found != job.input_facts.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace millrace::broker
