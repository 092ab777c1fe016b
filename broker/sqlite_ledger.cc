#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>

#include "broker/ledger.h"
#include "broker/ledger_schema.h"
#include "broker/sqlite_job_list.h"
#include "broker/sqlite_rows.h"
#include "core/files.h"
#include "core/log.h"

namespace millrace {
namespace {

// As jobs_open of the schema has it, word for word, or SQLite would not use that index.
constexpr const char* kOpenJobs = "jobs.state NOT IN ('succeeded', 'cancelled', 'dead')";

// How long a commit waits for somebody who writes to the file by hand.
constexpr int kBusyMilliseconds = 1000;

std::string SelectJobs(const std::string& where) {
  return std::string("SELECT ") + kJobColumns + " FROM jobs WHERE " + where;
}

template <typename... Visitors>
struct Overloaded : Visitors... {
  using Visitors::operator()...;
};
// clang 14 does not deduce this by itself.
template <typename... Visitors>
Overloaded(Visitors...) -> Overloaded<Visitors...>;

class SqliteLedger final : public Ledger {
 public:
  explicit SqliteLedger(const std::filesystem::path& file)
      : file_(file),
        database_(Open(file)),
        statements_(Guarded([&] { return Statements(database_); })) {}

  Snapshot Load() override {
    return Guarded([&] {
      // One read transaction, so that the parts belong together.
      SQLite::Transaction transaction(database_);
      Snapshot snapshot;
      snapshot.jobs =
          ReadAll(SelectJobs(std::string(kOpenJobs) + " ORDER BY created_at, id"), ReadJob);
      snapshot.tasks = ReadAll(std::string("SELECT ") + kTaskColumns +
                                   " FROM jobs JOIN tasks ON tasks.job_id = jobs.id WHERE " +
                                   kOpenJobs + " ORDER BY jobs.created_at, jobs.id, tasks.id",
                               ReadTask);
      snapshot.attempts = ReadAll(std::string("SELECT ") + kAttemptColumns +
                                      " FROM jobs JOIN tasks ON tasks.job_id = jobs.id "
                                      "JOIN attempts ON attempts.task_id = tasks.id WHERE " +
                                      kOpenJobs +
                                      " AND attempts.generation = jobs.generation "
                                      "ORDER BY attempts.fence",
                                  ReadAttempt);
      snapshot.last_fence = Counter("fence");
      snapshot.last_sequence = Counter("sequence");
      transaction.commit();
      return snapshot;
    });
  }

  void Commit(const std::vector<LedgerChange>& changes) override {
    if (changes.empty()) return;
    Guarded([&] {
      SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
      Fence fence = 0;
      int64_t sequence = 0;
      for (const LedgerChange& change : changes) {
        std::visit(Overloaded{[&](const InsertJob& put) { Insert(put.job); },
                              [&](const PutJob& put) { Update(put.job); },
                              [&](const PutTask& put) {
                                Run(statements_.put_task, BindTask, put.task);
                                fence = std::max(fence, put.task.fence);
                              },
                              [&](const PutAttempt& put) {
                                PutOne(put.attempt);
                                fence = std::max(fence, put.attempt.fence);
                              },
                              [&](const AppendEvent& append) {
                                Run(statements_.append_event, BindEvent, append.event);
                                sequence = std::max(sequence, append.event.sequence);
                              }},
                   change);
      }
      RaiseCounter("fence", fence);
      RaiseCounter("sequence", sequence);
      transaction.commit();
    });
  }

  void CheckWritable() override {
    Guarded([&] {
      SQLite::Transaction transaction(database_, SQLite::TransactionBehavior::IMMEDIATE);
      // Writes the row as it is; the commit is synced like any other.
      RaiseCounter("fence", Counter("fence"));
      transaction.commit();
    });
  }

  std::optional<Job> FindJob(const std::string& id) override {
    return Guarded([&]() -> std::optional<Job> {
      Execution execution(statements_.find_job);
      execution.Text(id);
      if (!execution.Step()) return std::nullopt;
      return ReadJob(execution);
    });
  }

  std::vector<Attempt> AttemptsOf(const std::string& job_id) override {
    return Guarded([&] {
      Execution execution(statements_.attempts_of);
      execution.Text(job_id);
      return ReadRows(execution, ReadAttempt);
    });
  }

  int LastAttemptNumber(const std::string& job_id, int generation) override {
    return Guarded([&] {
      Execution execution(statements_.last_attempt_number);
      execution.Text(job_id).Integer(generation);
      execution.Step();
      return RowReader(execution).Int();
    });
  }

  JobPage ListJobs(const JobFilter& filter) override {
    const std::optional<ListPosition> from = ReadPageToken(filter);
    return Guarded([&] { return millrace::ListJobs(database_, filter, from); });
  }

  std::vector<EventRecord> EventsAfter(int64_t after, size_t limit) override {
    return Guarded([&] {
      Execution execution(statements_.events_after);
      execution.Integer(after).Integer(static_cast<int64_t>(limit));
      return ReadRows(execution, ReadEvent);
    });
  }

 private:
  // Prepared once: compiling costs more than running.
  struct Statements {
    explicit Statements(SQLite::Database& database)
        : insert_job(database, kInsertJobSql),
          update_job(database, kUpdateJobSql),
          insert_label(database, kInsertLabelSql),
          put_task(database, kPutTaskSql),
          put_attempt(database, kPutAttemptSql),
          append_event(database, kAppendEventSql),
          raise_counter(database, "UPDATE counters SET value = max(value, ?) WHERE name = ?"),
          read_counter(database, "SELECT value FROM counters WHERE name = ?"),
          find_job(database, SelectJobs("id = ?")),
          attempts_of(database, std::string("SELECT ") + kAttemptColumns +
                                    " FROM tasks JOIN attempts ON attempts.task_id = tasks.id "
                                    "WHERE tasks.job_id = ? ORDER BY attempts.fence"),
          last_attempt_number(database,
                              "SELECT coalesce(max(attempts.number), 0) FROM tasks JOIN attempts "
                              "ON attempts.task_id = tasks.id "
                              "WHERE tasks.job_id = ? AND attempts.generation = ?"),
          events_after(database, std::string("SELECT ") + kEventColumns +
                                     " FROM events WHERE sequence > ? ORDER BY sequence LIMIT ?") {}

    SQLite::Statement insert_job;
    SQLite::Statement update_job;
    SQLite::Statement insert_label;
    SQLite::Statement put_task;
    SQLite::Statement put_attempt;
    SQLite::Statement append_event;
    SQLite::Statement raise_counter;
    SQLite::Statement read_counter;
    SQLite::Statement find_job;
    SQLite::Statement attempts_of;
    SQLite::Statement last_attempt_number;
    SQLite::Statement events_after;
  };

  static SQLite::Database Open(const std::filesystem::path& file) {
    std::optional<SQLite::Database> database;
    try {
      if (file.has_parent_path()) CreateFolders(file.parent_path());
      database.emplace(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMilliseconds);
      PrepareLedger(*database, file);
    } catch (const SQLite::Exception& error) {
      throw TranslateSqliteError(error, database ? &*database : nullptr, file);
    }
    return std::move(*database);
  }

  // Runs `body`; what SQLite or a row's content throws becomes an Error that names the file.
  template <typename Body>
  auto Guarded(Body body) -> decltype(body()) {
    try {
      return body();
    } catch (const SQLite::Exception& error) {
      throw TranslateSqliteError(error, &database_, file_);
    } catch (const nlohmann::json::exception& error) {
      throw LedgerCorrupt(file_, std::string("has a row that cannot be read: ") + error.what());
    } catch (const Error& error) {
      if (error.code() == ErrorCode::kInternal) throw;
      throw LedgerCorrupt(file_, std::string("has a row that cannot be read: ") + error.what());
    }
  }

  template <typename Bind, typename Record>
  static int Run(SQLite::Statement& statement, Bind bind, const Record& record) {
    Execution execution(statement);
    bind(execution, record);
    return execution.Run();
  }

  void Insert(const Job& job) {
    Run(statements_.insert_job, BindInsertJob, job);
    for (const auto& [name, value] : job.request.labels) {
      Execution(statements_.insert_label)
          .Text(name)
          .Text(value)
          .Time(job.created_at)
          .Text(job.id)
          .Run();
    }
  }

  void Update(const Job& job) {
    if (Run(statements_.update_job, BindUpdateJob, job) == 1) return;
    throw Error(ErrorCode::kInternal, "the ledger " + file_.string() + " has no job " + job.id);
  }

  void PutOne(const Attempt& attempt) {
    if (Run(statements_.put_attempt, BindAttempt, attempt) == 1) return;
    throw Error(ErrorCode::kInternal, "fence " + std::to_string(attempt.fence) +
                                          " was given to another task than " + attempt.task_id);
  }

  void RaiseCounter(const char* name, int64_t value) {
    if (value > 0) Execution(statements_.raise_counter).Integer(value).Text(name).Run();
  }

  int64_t Counter(const char* name) {
    Execution execution(statements_.read_counter);
    execution.Text(name);
    execution.Step();
    return RowReader(execution).Integer();
  }

  template <typename Read>
  static auto ReadRows(Execution& execution, Read read) -> std::vector<decltype(read(execution))> {
    std::vector<decltype(read(execution))> records;
    while (execution.Step()) records.push_back(read(execution));
    return records;
  }

  template <typename Read>
  auto ReadAll(const std::string& sql, Read read)
      -> std::vector<decltype(read(std::declval<Execution&>()))> {
    SQLite::Statement statement(database_, sql);
    Execution execution(statement);
    return ReadRows(execution, read);
  }

  const std::filesystem::path file_;
  SQLite::Database database_;
  Statements statements_;
};

}  // namespace

std::unique_ptr<Ledger> OpenSqliteLedger(const std::filesystem::path& file) {
  return std::make_unique<SqliteLedger>(file);
}

}  // namespace millrace
