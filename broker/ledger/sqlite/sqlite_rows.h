#pragma once

#include <string>
#include <vector>

#include "broker/ledger/records.h"
#include "broker/ledger/sqlite/sqlite_statement.h"

namespace millrace::broker {

// Maps the records of records.h to the tables of ledger_schema.cc: lists the columns of each in the
// order in which they are bound and read. Readers throw nlohmann::json::exception or Error for a
// malformed row.

inline constexpr const char* kJobColumns =
    "id, state, generation, external_id, created_at, started_at, finished_at, published_fence, "
    "request, input_facts, media, files, warnings, error, idempotency_key, request_fingerprint, "
    "last_progress";
inline constexpr const char* kTaskColumns =
    "tasks.id, tasks.job_id, tasks.state, tasks.fence, tasks.attempts_spent, "
    "tasks.infrastructure_failures, tasks.crashed_workers, tasks.last_worker, tasks.due_at, "
    "tasks.manifest, tasks.failure, tasks.generation, tasks.kind, tasks.spec, tasks.input, "
    "tasks.dependencies";
inline constexpr const char* kAttemptColumns =
    "attempts.task_id, attempts.fence, attempts.number, attempts.generation, attempts.worker, "
    "attempts.started_at, attempts.finished_at, attempts.outcome, attempts.failure, "
    "attempts.versions";
inline constexpr const char* kEventColumns = "sequence, job_id, generation, event, state, at";
inline constexpr const char* kDeadLetterColumns =
    "job_id, generation, state, died_at, closed_at, code, blame, detail, stage, codec, signature, "
    "signature_text, input_name, input_sha256, worker";
inline constexpr const char* kRedriveColumns =
    "id, state, created_at, job_count, canary, canary_generation, waiting, patch";
inline constexpr const char* kPurgeColumns = "id, job_count, created_at";

inline constexpr const char* kInsertJobSql =
    "INSERT INTO jobs (id, state, generation, external_id, created_at, started_at, finished_at, "
    "published_fence, request, input_facts, media, files, warnings, error, idempotency_key, "
    "request_fingerprint, last_progress, upload) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
inline constexpr const char* kUpdateJobSql =
    "UPDATE jobs SET state = ?, generation = ?, started_at = ?, finished_at = ?, "
    "published_fence = ?, media = ?, files = ?, warnings = ?, error = ?, last_progress = ? "
    "WHERE id = ?";
inline constexpr const char* kReplaceRequestSql =
    "UPDATE jobs SET request = ?, upload = ? WHERE id = ?";
inline constexpr const char* kInsertLabelSql =
    "INSERT INTO job_labels (name, value, created_at, job_id) VALUES (?, ?, ?, ?)";
inline constexpr const char* kPutTaskSql =
    "INSERT INTO tasks (id, job_id, state, fence, attempts_spent, infrastructure_failures, "
    "crashed_workers, last_worker, due_at, manifest, failure, generation, kind, spec, input, "
    "dependencies) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "generation = excluded.generation, "
    "state = excluded.state, fence = excluded.fence, attempts_spent = excluded.attempts_spent, "
    "infrastructure_failures = excluded.infrastructure_failures, "
    "crashed_workers = excluded.crashed_workers, last_worker = excluded.last_worker, "
    "due_at = excluded.due_at, manifest = excluded.manifest, failure = excluded.failure";
inline constexpr const char* kPutAttemptSql =
    "INSERT INTO attempts (task_id, fence, number, generation, worker, started_at, finished_at, "
    "outcome, failure, versions) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (fence) DO "
    "UPDATE SET number = excluded.number, generation = excluded.generation, "
    "worker = excluded.worker, started_at = excluded.started_at, "
    "finished_at = excluded.finished_at, outcome = excluded.outcome, failure = excluded.failure, "
    "versions = excluded.versions WHERE task_id = excluded.task_id";
inline constexpr const char* kAppendEventSql =
    "INSERT INTO events (sequence, job_id, generation, event, state, at) "
    "VALUES (?, ?, ?, ?, ?, ?)";
inline constexpr const char* kPutDeadLetterSql =
    "INSERT INTO dead_letters (job_id, generation, state, died_at, closed_at, code, blame, detail, "
    "stage, codec, signature, signature_text, input_name, input_sha256, worker) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (job_id, generation) DO "
    "UPDATE SET state = excluded.state, died_at = excluded.died_at, "
    "closed_at = excluded.closed_at, code = excluded.code, blame = excluded.blame, "
    "detail = excluded.detail, stage = excluded.stage, codec = excluded.codec, "
    "signature = excluded.signature, signature_text = excluded.signature_text, "
    "input_name = excluded.input_name, input_sha256 = excluded.input_sha256, "
    "worker = excluded.worker";
inline constexpr const char* kPutRedriveSql =
    "INSERT INTO redrives (id, state, created_at, job_count, canary, canary_generation, waiting, "
    "patch) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
    "state = excluded.state, created_at = excluded.created_at, job_count = excluded.job_count, "
    "canary = excluded.canary, canary_generation = excluded.canary_generation, "
    "waiting = excluded.waiting, patch = excluded.patch";
inline constexpr const char* kPutPurgeSql =
    "INSERT INTO purges (id, job_count, created_at) VALUES (?, ?, ?) ON CONFLICT (id) DO UPDATE "
    "SET job_count = excluded.job_count, created_at = excluded.created_at";

void BindInsertJob(Execution& execution, const Job& job);
void BindUpdateJob(Execution& execution, const Job& job);
void BindTask(Execution& execution, const TaskRecord& task);
void BindAttempt(Execution& execution, const Attempt& attempt);
void BindEvent(Execution& execution, const EventRecord& event);
void BindReplaceRequest(Execution& execution, const ReplaceRequest& replace);
void BindDeadLetter(Execution& execution, const DeadLetterRecord& letter);
void BindRedrive(Execution& execution, const RedriveRecord& redrive);
void BindPurge(Execution& execution, const PurgeRecord& purge);

Job ReadJob(Execution& execution);
TaskRecord ReadTask(Execution& execution);
Attempt ReadAttempt(Execution& execution);
EventRecord ReadEvent(Execution& execution);
DeadLetterRecord ReadDeadLetter(Execution& execution);
RedriveRecord ReadRedrive(Execution& execution);
PurgeRecord ReadPurge(Execution& execution);
JobState ReadJobState(RowReader& row);

// Returns all rows of a query, each read by `read`.
template <typename Read>
auto ReadRows(Execution& execution, Read read) -> std::vector<decltype(read(execution))> {
  std::vector<decltype(read(execution))> records;
  while (execution.Step()) records.push_back(read(execution));
  return records;
}

}  // namespace millrace::broker
