#include "broker/ledger/sqlite/sqlite_rows.h"

namespace millrace::broker {
namespace {

template <typename T>
nlohmann::json ArrayOf(const std::vector<T>& items) {
  nlohmann::json array = nlohmann::json::array();
  for (const T& item : items) array.push_back(ToJson(item));
  return array;
}

[[noreturn]] void RefuseName(const std::string& what, const std::string& name) {
  throw Error(ErrorCode::kLedgerCorrupt, "unknown " + what + " '" + name + "'");
}

TaskState ReadTaskState(RowReader& row) {
  const std::string name = row.Text();
  const std::optional<TaskState> state = TaskStateFromName(name);
  if (!state) RefuseName("state of a task", name);
  return *state;
}

TaskKind ReadTaskKind(RowReader& row) {
  const std::string name = row.Text();
  const std::optional<TaskKind> kind = TaskKindFromName(name);
  if (!kind) RefuseName("kind of a task", name);
  return *kind;
}

JobEvent ReadJobEvent(RowReader& row) {
  const std::string name = row.Text();
  const std::optional<JobEvent> event = JobEventFromName(name);
  if (!event) RefuseName("event of a job", name);
  return *event;
}

DeadLetterRecord::State ReadDeadLetterState(RowReader& row) {
  const std::string name = row.Text();
  const auto state = DeadLetterStateFromName(name);
  if (!state) RefuseName("state of a dead letter", name);
  return *state;
}

RedriveRecord::State ReadRedriveState(RowReader& row) {
  const std::string name = row.Text();
  const auto state = RedriveStateFromName(name);
  if (!state) RefuseName("state of a redrive", name);
  return *state;
}

// Returns null for most jobs: all that are alive or succeeded.
nlohmann::json LastProgressJson(const Job& job) {
  return job.last_progress == Progress() ? nlohmann::json() : ToJson(job.last_progress);
}

}  // namespace

JobState ReadJobState(RowReader& row) {
  const std::string name = row.Text();
  const std::optional<JobState> state = JobStateFromName(name);
  if (!state) RefuseName("state of a job", name);
  return *state;
}

void BindInsertJob(Execution& execution, const Job& job) {
  execution.Text(job.id)
      .Text(NameOf(job.state))
      .Integer(job.generation)
      .Text(job.request.external_id)
      .Time(job.created_at)
      .OptionalTime(job.started_at)
      .OptionalTime(job.finished_at)
      .Integer(job.published_fence)
      .Json(ToJson(job.request))
      .Json(job.input_facts)
      .Json(job.media)
      .Json(ArrayOf(job.files))
      .Json(ArrayOf(job.warnings))
      .Json(job.error)
      .Text(job.idempotency_key)
      .Text(job.request_fingerprint)
      .Json(LastProgressJson(job))
      .Text(job.request.input.upload);
}

void BindUpdateJob(Execution& execution, const Job& job) {
  execution.Text(NameOf(job.state))
      .Integer(job.generation)
      .OptionalTime(job.started_at)
      .OptionalTime(job.finished_at)
      .Integer(job.published_fence)
      .Json(job.media)
      .Json(ArrayOf(job.files))
      .Json(ArrayOf(job.warnings))
      .Json(job.error)
      .Json(LastProgressJson(job))
      .Text(job.id);
}

void BindReplaceRequest(Execution& execution, const ReplaceRequest& replace) {
  execution.Json(ToJson(replace.request)).Text(replace.request.input.upload).Text(replace.job_id);
}

void BindTask(Execution& execution, const TaskRecord& task) {
  execution.Text(task.id)
      .Text(task.job_id)
      .Text(NameOf(task.state))
      .Integer(task.fence)
      .Integer(task.attempts_spent)
      .Integer(task.infrastructure_failures)
      .Json(task.crashed_workers)
      .Text(task.last_worker)
      .OptionalTime(task.due_at)
      .Json(task.manifest)
      .Json(task.failure)
      .Integer(task.generation)
      .Text(NameOf(task.kind))
      .Json(task.spec ? ToJson(*task.spec) : nlohmann::json())
      .Json(task.input ? ToJson(*task.input) : nlohmann::json())
      .Json(task.dependencies);
}

void BindAttempt(Execution& execution, const Attempt& attempt) {
  execution.Text(attempt.task_id)
      .Integer(attempt.fence)
      .Integer(attempt.number)
      .Integer(attempt.generation)
      .Text(attempt.worker)
      .Time(attempt.started_at)
      .OptionalTime(attempt.finished_at)
      .Text(attempt.outcome)
      .Json(attempt.failure)
      .Json(attempt.versions);
}

void BindEvent(Execution& execution, const EventRecord& event) {
  execution.Integer(event.sequence)
      .Text(event.job_id)
      .Integer(event.generation)
      .Text(NameOf(event.event))
      .Text(NameOf(event.state))
      .Time(event.at);
}

void BindDeadLetter(Execution& execution, const DeadLetterRecord& letter) {
  execution.Text(letter.job_id)
      .Integer(letter.generation)
      .Text(NameOf(letter.state))
      .Time(letter.died_at)
      .OptionalTime(letter.closed_at)
      .Text(letter.code)
      .Text(letter.blame)
      .Text(letter.detail)
      .Text(letter.stage)
      .Text(letter.codec)
      .Text(letter.signature)
      .Text(letter.signature_text)
      .Text(letter.input_name)
      .Text(letter.input_sha256)
      .Text(letter.worker);
}

void BindRedrive(Execution& execution, const RedriveRecord& redrive) {
  execution.Text(redrive.id)
      .Text(NameOf(redrive.state))
      .Time(redrive.created_at)
      .Integer(redrive.count)
      .Text(redrive.canary)
      .Integer(redrive.canary_generation)
      .Json(redrive.waiting)
      .Json(redrive.patch);
}

void BindPurge(Execution& execution, const PurgeRecord& purge) {
  execution.Text(purge.id).Integer(purge.count).Time(purge.created_at);
}

Job ReadJob(Execution& execution) {
  RowReader row(execution);
  Job job;
  job.id = row.Text();
  job.state = ReadJobState(row);
  job.generation = row.Int();
  const std::string external_id = row.Text();
  job.created_at = row.Time();
  job.started_at = row.OptionalTime();
  job.finished_at = row.OptionalTime();
  job.published_fence = row.Integer();
  job.request = JobRequestFromJson(row.Json());
  job.input_facts = row.Json();
  job.media = row.Json();
  for (const auto& file : row.Json()) job.files.push_back(OutputFileFromJson(file));
  for (const auto& warning : row.Json()) job.warnings.push_back(WarningFromJson(warning));
  job.error = row.Json();
  job.idempotency_key = row.Text();
  job.request_fingerprint = row.Text();
  if (const nlohmann::json shown = row.Json(); !shown.is_null()) {
    job.last_progress = ProgressFromJson(shown);
  }
  return job;
}

TaskRecord ReadTask(Execution& execution) {
  RowReader row(execution);
  TaskRecord task;
  task.id = row.Text();
  task.job_id = row.Text();
  task.state = ReadTaskState(row);
  task.fence = row.Integer();
  task.attempts_spent = row.Int();
  task.infrastructure_failures = row.Int();
  row.Json().get_to(task.crashed_workers);
  task.last_worker = row.Text();
  task.due_at = row.OptionalTime();
  task.manifest = row.Json();
  task.failure = row.Json();
  task.generation = row.Int();
  task.kind = ReadTaskKind(row);
  if (const nlohmann::json spec = row.Json(); !spec.is_null()) task.spec = SpecFromJson(spec);
  if (const nlohmann::json input = row.Json(); !input.is_null()) task.input = InputFromJson(input);
  row.Json().get_to(task.dependencies);
  return task;
}

Attempt ReadAttempt(Execution& execution) {
  RowReader row(execution);
  Attempt attempt;
  attempt.task_id = row.Text();
  attempt.fence = row.Integer();
  attempt.number = row.Int();
  attempt.generation = row.Int();
  attempt.worker = row.Text();
  attempt.started_at = row.Time();
  attempt.finished_at = row.OptionalTime();
  attempt.outcome = row.Text();
  attempt.failure = row.Json();
  attempt.versions = row.Json();
  return attempt;
}

EventRecord ReadEvent(Execution& execution) {
  RowReader row(execution);
  EventRecord event;
  event.sequence = row.Integer();
  event.job_id = row.Text();
  event.generation = row.Int();
  event.event = ReadJobEvent(row);
  event.state = ReadJobState(row);
  event.at = row.Time();
  return event;
}

DeadLetterRecord ReadDeadLetter(Execution& execution) {
  RowReader row(execution);
  DeadLetterRecord letter;
  letter.job_id = row.Text();
  letter.generation = row.Int();
  letter.state = ReadDeadLetterState(row);
  letter.died_at = row.Time();
  letter.closed_at = row.OptionalTime();
  letter.code = row.Text();
  letter.blame = row.Text();
  letter.detail = row.Text();
  letter.stage = row.Text();
  letter.codec = row.Text();
  letter.signature = row.Text();
  letter.signature_text = row.Text();
  letter.input_name = row.Text();
  letter.input_sha256 = row.Text();
  letter.worker = row.Text();
  return letter;
}

RedriveRecord ReadRedrive(Execution& execution) {
  RowReader row(execution);
  RedriveRecord redrive;
  redrive.id = row.Text();
  redrive.state = ReadRedriveState(row);
  redrive.created_at = row.Time();
  redrive.count = row.Integer();
  redrive.canary = row.Text();
  redrive.canary_generation = row.Int();
  row.Json().get_to(redrive.waiting);
  redrive.patch = row.Json();
  return redrive;
}

PurgeRecord ReadPurge(Execution& execution) {
  RowReader row(execution);
  PurgeRecord purge;
  purge.id = row.Text();
  purge.count = row.Integer();
  purge.created_at = row.Time();
  return purge;
}

}  // namespace millrace::broker
