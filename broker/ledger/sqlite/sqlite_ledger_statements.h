#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>

#include "broker/ledger/sqlite/sqlite_rows.h"

namespace millrace::broker {

inline std::string SelectJobsSql(const std::string& where) {
  return std::string("SELECT ") + kJobColumns + " FROM jobs WHERE " + where;
}

// What the ledger runs often, prepared once: compiling costs more than running. The database must
// outlive it.
struct LedgerStatements {
  explicit LedgerStatements(SQLite::Database& database)
      : insert_job(database, kInsertJobSql),
        update_job(database, kUpdateJobSql),
        insert_label(database, kInsertLabelSql),
        put_task(database, kPutTaskSql),
        put_attempt(database, kPutAttemptSql),
        append_event(database, kAppendEventSql),
        raise_counter(database, "UPDATE counters SET value = max(value, ?) WHERE name = ?"),
        read_counter(database, "SELECT value FROM counters WHERE name = ?"),
        find_job(database, SelectJobsSql("id = ?")),
        find_job_by_key(database, SelectJobsSql("idempotency_key = ? AND idempotency_key <> ''")),
        attempts_of(database, std::string("SELECT ") + kAttemptColumns +
                                  " FROM tasks JOIN attempts ON attempts.task_id = tasks.id "
                                  "WHERE tasks.job_id = ? ORDER BY attempts.fence"),
        last_attempt_number(database,
                            "SELECT coalesce(max(attempts.number), 0) FROM tasks JOIN attempts "
                            "ON attempts.task_id = tasks.id "
                            "WHERE tasks.job_id = ? AND attempts.generation = ?"),
        // Without the hint SQLite may walk the whole log from `sequence` on.
        events_of(database, std::string("SELECT ") + kEventColumns +
                                " FROM events INDEXED BY events_by_job "
                                "WHERE job_id = ? AND sequence > ? ORDER BY sequence LIMIT ?") {}

  SQLite::Statement insert_job;
  SQLite::Statement update_job;
  SQLite::Statement insert_label;
  SQLite::Statement put_task;
  SQLite::Statement put_attempt;
  SQLite::Statement append_event;
  SQLite::Statement raise_counter;
  SQLite::Statement read_counter;
  SQLite::Statement find_job;
  SQLite::Statement find_job_by_key;
  SQLite::Statement attempts_of;
  SQLite::Statement last_attempt_number;
  SQLite::Statement events_of;
};

}  // namespace millrace::broker
