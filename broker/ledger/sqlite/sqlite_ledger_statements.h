#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <string>

#include "broker/ledger/sqlite/sqlite_rows.h"

namespace millrace::broker {

inline std::string SelectJobsSql(const std::string& where) {
  return std::string("SELECT ") + kJobColumns + " FROM jobs WHERE " + where;
}

// The ledger's frequent statements, prepared once because compiling costs more than running. The
// database must outlive it.
struct LedgerStatements {
  explicit LedgerStatements(SQLite::Database& database)
      : begin(database, "BEGIN IMMEDIATE"),
        commit(database, "COMMIT"),
        rollback(database, "ROLLBACK"),
        insert_job(database, kInsertJobSql),
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

  SQLite::Statement begin;
  SQLite::Statement commit;
  SQLite::Statement rollback;
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

// A transaction that writes. Rolled back unless it is committed. Lives on the stack.
class WriteTransaction {
 public:
  explicit WriteTransaction(LedgerStatements& statements) : statements_(statements) {
    Execution(statements_.begin).Run();
  }
  ~WriteTransaction() {
    if (committed_) return;
    try {
      Execution(statements_.rollback).Run();
    } catch (const SQLite::Exception&) {
      // The statement that failed has rolled it back.
    }
  }
  WriteTransaction(const WriteTransaction&) = delete;
  WriteTransaction& operator=(const WriteTransaction&) = delete;

  void Commit() {
    Execution(statements_.commit).Run();
    committed_ = true;
  }

 private:
  LedgerStatements& statements_;
  bool committed_ = false;
};

}  // namespace millrace::broker
