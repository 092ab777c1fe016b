#pragma once

#include <string>

#include "broker/records.h"
#include "broker/sqlite_statement.h"

namespace millrace {

// How the records of records.h stand in the tables of ledger_schema.cc: the columns of each, in the
// order in which they are bound and read. Readers throw nlohmann::json::exception or Error for a
// row that cannot be understood.

inline constexpr const char* kJobColumns =
    "id, state, generation, external_id, created_at, started_at, finished_at, published_fence, "
    "request, input_facts, media, files, warnings, error";
inline constexpr const char* kTaskColumns =
    "tasks.id, tasks.job_id, tasks.state, tasks.fence, tasks.attempts_spent, "
    "tasks.infrastructure_failures, tasks.crashed_workers, tasks.last_worker, tasks.due_at, "
    "tasks.manifest, tasks.failure";
inline constexpr const char* kAttemptColumns =
    "attempts.task_id, attempts.fence, attempts.number, attempts.generation, attempts.worker, "
    "attempts.started_at, attempts.finished_at, attempts.outcome, attempts.failure, "
    "attempts.versions";
inline constexpr const char* kEventColumns = "sequence, job_id, generation, event, state, at";

inline constexpr const char* kInsertJobSql =
    "INSERT INTO jobs (id, state, generation, external_id, created_at, started_at, finished_at, "
    "published_fence, request, input_facts, media, files, warnings, error) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
inline constexpr const char* kUpdateJobSql =
    "UPDATE jobs SET state = ?, generation = ?, started_at = ?, finished_at = ?, "
    "published_fence = ?, media = ?, files = ?, warnings = ?, error = ? WHERE id = ?";
inline constexpr const char* kInsertLabelSql =
    "INSERT INTO job_labels (name, value, created_at, job_id) VALUES (?, ?, ?, ?)";
inline constexpr const char* kPutTaskSql =
    "INSERT INTO tasks (id, job_id, state, fence, attempts_spent, infrastructure_failures, "
    "crashed_workers, last_worker, due_at, manifest, failure) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (id) DO UPDATE SET "
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

void BindInsertJob(Execution& execution, const Job& job);
void BindUpdateJob(Execution& execution, const Job& job);
void BindTask(Execution& execution, const TaskRecord& task);
void BindAttempt(Execution& execution, const Attempt& attempt);
void BindEvent(Execution& execution, const EventRecord& event);

Job ReadJob(Execution& execution);
TaskRecord ReadTask(Execution& execution);
Attempt ReadAttempt(Execution& execution);
EventRecord ReadEvent(Execution& execution);

}  // namespace millrace
