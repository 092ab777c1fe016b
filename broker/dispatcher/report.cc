#include "broker/dispatcher/report.h"

#include <algorithm>
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

const Attempt* LastAttempt(const TaskEntry& task) {
  const std::vector<Attempt>& attempts = task.job->attempts;
  const auto last = std::find_if(attempts.rbegin(), attempts.rend(), [&](const Attempt& attempt) {
    return attempt.task_id == task.record.id;
  });
  return last == attempts.rend() ? nullptr : &*last;
}

// Writes the task as a worker would have been given it, with the paths of the dead-letter folder.
nlohmann::json TaskJson(const TaskEntry& failed) {
  const Job& job = failed.job->job;
  TaskDocument task;
  task.job_id = job.id;
  task.task_id = failed.record.id;
  task.fence = failed.record.fence;
  if (const Attempt* last = LastAttempt(failed)) task.attempt = last->number;
  task.input_path = failed.record.input.value_or(job.request.input).path;
  task.input_name = InputFact(job, "name");
  task.spec = SpecOf(failed);
  return ToJson(task);
}

// Describes the end of each task of the job.
nlohmann::json TasksJson(const JobEntry& entry) {
  nlohmann::json tasks = nlohmann::json::array();
  for (const TaskEntry& task : entry.tasks) {
    nlohmann::json outputs = nlohmann::json::array();
    for (const OutputSpec& output : SpecOf(task).outputs) outputs.push_back(output.name);
    tasks.push_back({{"task", task.record.id},
                     {"kind", NameOf(task.record.kind)},
                     {"state", NameOf(task.record.state)},
                     {"outputs", std::move(outputs)}});
  }
  return tasks;
}

// Lists the work folders to take logs from. Those of the failed task come last, because its last
// attempt is the one to repeat.
std::vector<std::pair<std::string, Fence>> FoldersOf(const TaskEntry& failed) {
  std::vector<std::pair<std::string, Fence>> folders;
  for (const Attempt& attempt : failed.job->attempts) {
    if (KeepsFolder(attempt)) folders.emplace_back(attempt.task_id, attempt.fence);
  }
  // clang 14 does not compile std::ranges' form of it with GCC's library.
  std::stable_partition(folders.begin(), folders.end(),
                        [&](const auto& folder) { return folder.first != failed.record.id; });
  return folders;
}

// Returns the code that a single run of the encoder ends with if it reproduces the job's failure.
// Poison appears as a crash.
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

DeadLetter MakeDeadLetter(const TaskEntry& failed, const Error& cause, WallTime died_at) {
  const JobEntry& entry = *failed.job;
  const Job& job = entry.job;
  DeadLetter letter{.job_id = job.id,
                    .report = {},
                    .input = job.request.input,
                    .attempts = FoldersOf(failed),
                    .task = TaskJson(failed),
                    .expected_code = CodeToReproduce(cause),
                    .abandon = {}};
  nlohmann::json attempts = nlohmann::json::array();
  nlohmann::json first;
  nlohmann::json last;
  for (const Attempt& attempt : entry.attempts) {
    attempts.push_back(ToJson(attempt));
    // Consider only failures of the task that the job died of.
    if (attempt.task_id != failed.record.id) continue;
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
                   {"task", failed.record.id},
                   {"tasks", TasksJson(entry)},
                   {"input", ToJson(job.request.input)},
                   {"input_facts", job.input_facts},
                   {"media", job.media},
                   {"request", std::move(request)},
                   {"spec", std::move(spec)}};
  return letter;
}

DeadLetterRecord MakeDeadLetterRecord(const JobEntry& entry, const Error& cause, WallTime died_at) {
  FailureSignature signature = SignatureOf(cause);
  const TaskEntry* failed = FailedTask(entry);
  const Attempt* last = failed == nullptr ? nullptr : LastAttempt(*failed);
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
          .worker = last == nullptr ? "" : last->worker};
}

std::string InputFact(const Job& job, const char* key) {
  if (!job.input_facts.is_object()) return "";
  const auto found = job.input_facts.find(key);
  return found != job.input_facts.end() && found->is_string() ? found->get<std::string>() : "";
}

}  // namespace millrace::broker
