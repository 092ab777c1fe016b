#include <SQLiteCpp/SQLiteCpp.h>

#include <algorithm>
#include <tuple>

#include "broker/ledger/ledger.h"
#include "broker/ledger/sqlite/joined_log_writes.h"
#include "broker/ledger/sqlite/ledger_schema.h"
#include "broker/ledger/sqlite/sqlite_dead_letters.h"
#include "broker/ledger/sqlite/sqlite_job_list.h"
#include "broker/ledger/sqlite/sqlite_ledger_statements.h"
#include "broker/ledger/sqlite/sqlite_retention.h"
#include "broker/ledger/sqlite/sqlite_rows.h"
#include "core/base/files.h"
#include "core/base/log.h"

namespace millrace::broker {
namespace {

// Selects the jobs that a starting broker loads. Without the hint SQLite may walk the whole
// history.
constexpr const char* kFromOpenJobs = " FROM jobs INDEXED BY jobs_by_state ";

std::string OpenJobs() {
  std::string names;
  for (int i = 0; i <= static_cast<int>(JobState::kDead); ++i) {
    const auto state = static_cast<JobState>(i);
    if (IsTerminal(state)) continue;
    names += (names.empty() ? "'" : ", '") + std::string(NameOf(state)) + "'";
  }
  return "jobs.state IN (" + names + ")";
}

// Limits the wait of a commit for someone who writes to the file by hand.
constexpr int kBusyMilliseconds = 1000;

class SqliteLedger final : public Ledger {
 public:
  explicit SqliteLedger(const std::filesystem::path& file)
      : file_(file),
        database_(Open(file)),
        statements_(Guarded([&] { return LedgerStatements(database_); })) {
    try {
      Note();
    } catch (const SQLite::Exception& error) {
      LogWarning("the ledger cannot be written at present",
                 {{"file", file_.string()}, {"error", error.what()}});
    }
  }

  ~SqliteLedger() override { NoteLedgerClosed(database_); }

  Snapshot Load() override {
    return Guarded([&] {
      // Read in one transaction, so that the parts agree.
      SQLite::Transaction transaction(database_);
      Snapshot snapshot;
      snapshot.jobs = ReadAll(
          std::string("SELECT ") + kJobColumns + kFromOpenJobs + "WHERE " + OpenJobs(), ReadJob);
      // Sort here: SQLite would sort whole rows.
      std::ranges::sort(snapshot.jobs, {},
                        [](const Job& job) { return std::tie(job.created_at, job.id); });
      snapshot.tasks = ReadAll(std::string("SELECT ") + kTaskColumns + kFromOpenJobs +
                                   "JOIN tasks ON tasks.job_id = jobs.id "
                                   "AND tasks.generation = jobs.generation WHERE " +
                                   OpenJobs() + " ORDER BY tasks.id",
                               ReadTask);
      snapshot.attempts = ReadAll(std::string("SELECT ") + kAttemptColumns + kFromOpenJobs +
                                      "JOIN tasks ON tasks.job_id = jobs.id "
                                      "JOIN attempts ON attempts.task_id = tasks.id WHERE " +
                                      OpenJobs() +
                                      " AND attempts.generation = jobs.generation "
                                      "ORDER BY attempts.fence",
                                  ReadAttempt);
      snapshot.redrives = ReadAll(std::string("SELECT ") + kRedriveColumns +
                                      " FROM redrives WHERE state = 'waiting' "
                                      "ORDER BY created_at, id",
                                  ReadRedrive);
      snapshot.poison = PoisonousMedia(database_);
      snapshot.last_fence = Counter("fence");
      snapshot.last_sequence = Counter("sequence");
      transaction.commit();
      return snapshot;
    });
  }

  void Commit(const std::vector<LedgerChange>& changes) override {
    if (changes.empty()) return;
    Guarded([&] {
      Note();
      WriteTransaction transaction(statements_);
      Highest highest;
      for (const LedgerChange& change : changes) {
        std::visit([&](const auto& one) { Apply(one, highest); }, change);
      }
      RaiseCounter("fence", highest.fence);
      RaiseCounter("sequence", highest.sequence);
      transaction.Commit();
    });
  }

  void CheckWritable() override {
    Guarded([&] {
      Note();
      WriteTransaction transaction(statements_);
      // Rewrites the counter with its present value; the commit is synced like any other.
      RaiseCounter("fence", Counter("fence"));
      transaction.Commit();
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

  std::optional<Job> FindJobByKey(const std::string& key) override {
    return Guarded([&]() -> std::optional<Job> {
      Execution execution(statements_.find_job_by_key);
      execution.Text(key);
      if (!execution.Step()) return std::nullopt;
      return ReadJob(execution);
    });
  }

  std::vector<TaskRecord> TasksOf(const std::string& job_id) override {
    return Guarded([&] {
      OneTime query(database_, std::string("SELECT ") + kTaskColumns +
                                   " FROM jobs JOIN tasks ON tasks.job_id = jobs.id "
                                   "AND tasks.generation = jobs.generation "
                                   "WHERE jobs.id = ? ORDER BY tasks.id");
      query->Text(job_id);
      return ReadRows(*query, ReadTask);
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
    return Guarded([&] { return broker::ListJobs(database_, filter, from); });
  }

  std::vector<EventRecord> EventsOf(const std::string& job_id, int64_t after,
                                    size_t limit) override {
    return Guarded([&] {
      Execution execution(statements_.events_of);
      execution.Text(job_id).Integer(after).Integer(static_cast<int64_t>(limit));
      return ReadRows(execution, ReadEvent);
    });
  }

  std::optional<DeadLetterRecord> FindDeadLetter(const std::string& job_id) override {
    return Guarded([&] { return broker::FindDeadLetter(database_, job_id); });
  }

  DeadLetterPage ListDeadLetters(const DeadLetterFilter& filter) override {
    const std::optional<ListPosition> from = ReadPageToken(filter);
    return Guarded([&] { return broker::ListDeadLetters(database_, filter, from); });
  }

  int64_t CountDeadLetters(const DeadLetterFilter& filter) override {
    return Guarded([&] { return broker::CountDeadLetters(database_, filter); });
  }

  std::vector<DeadLetterGroup> DeadLetterGroups(const DeadLetterFilter& filter,
                                                size_t limit) override {
    return Guarded([&] { return GroupDeadLetters(database_, filter, limit); });
  }

  std::vector<DeadLetterRecord> OpenLettersOldestFirst(const DeadLetterFilter& filter,
                                                       size_t limit) override {
    DeadLetterFilter open = filter;
    open.state = NameOf(DeadLetterRecord::State::kOpen);
    return Guarded([&] { return OldestDeadLetters(database_, open, limit); });
  }

  std::optional<RedriveRecord> FindRedrive(const std::string& id) override {
    return Guarded([&] { return broker::FindRedrive(database_, id); });
  }

  std::optional<PurgeRecord> FindPurge(const std::string& id) override {
    return Guarded([&] { return broker::FindPurge(database_, id); });
  }

  std::vector<std::string> EndedBefore(const std::vector<JobState>& states, WallTime time,
                                       size_t limit) override {
    return Guarded([&] { return broker::EndedBefore(database_, states, time, limit); });
  }

  std::vector<DeadLetterRecord> LettersDiedBefore(WallTime time, size_t limit) override {
    return Guarded([&] { return broker::LettersDiedBefore(database_, time, limit); });
  }

  bool IsUploadNamed(const std::string& upload_id) override {
    return Guarded([&] { return broker::IsUploadNamed(database_, upload_id); });
  }

  std::optional<JobStanding> FindStanding(const std::string& job_id) override {
    return Guarded([&] { return broker::FindStanding(database_, job_id); });
  }

  size_t PruneEvents(WallTime time, size_t max_jobs) override {
    return Guarded([&] {
      WriteTransaction transaction(statements_);
      const size_t removed = PruneEventRows(database_, time, max_jobs);
      transaction.Commit();
      return removed;
    });
  }

  size_t PruneRequests(WallTime time, size_t limit) override {
    return Guarded([&] {
      WriteTransaction transaction(statements_);
      const size_t removed = PruneRequestRows(database_, time, limit);
      transaction.Commit();
      return removed;
    });
  }

 private:
  static SQLite::Database Open(const std::filesystem::path& file) {
    std::optional<SQLite::Database> database;
    try {
      if (file.has_parent_path()) CreateFolders(file.parent_path());
      database.emplace(file, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE, kBusyMilliseconds,
                       JoinedLogWrites());
      PrepareLedger(*database, file);
    } catch (const SQLite::Exception& error) {
      throw TranslateSqliteError(error, database ? &*database : nullptr, file);
    }
    return std::move(*database);
  }

  // Notes that the file is open before the first commit, so that a lost log is noticed.
  void Note() {
    if (!noted_) noted_ = NoteLedgerOpened(database_, file_);
  }

  // Runs `body`. Turns exceptions from SQLite or from a row's content into an Error that names the
  // file.
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

  // The largest numbers in one commit.
  struct Highest {
    Fence fence = 0;
    int64_t sequence = 0;
  };

  void Apply(const InsertJob& insert, Highest& /*highest*/) {
    const Job& job = insert.job;
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

  void Apply(const PutJob& put, Highest& /*highest*/) {
    if (Run(statements_.update_job, BindUpdateJob, put.job) == 0) RefuseUnknown(put.job.id);
  }

  void Apply(const ReplaceRequest& replace, Highest& /*highest*/) {
    OneTime statement(database_, kReplaceRequestSql);
    BindReplaceRequest(*statement, replace);
    if (statement->Run() == 0) RefuseUnknown(replace.job_id);
  }

  void Apply(const PutTask& put, Highest& highest) {
    Run(statements_.put_task, BindTask, put.task);
    highest.fence = std::max(highest.fence, put.task.fence);
  }

  void Apply(const PutAttempt& put, Highest& highest) {
    const Attempt& attempt = put.attempt;
    if (Run(statements_.put_attempt, BindAttempt, attempt) == 0) {
      throw Error(ErrorCode::kInternal, "fence " + std::to_string(attempt.fence) +
                                            " was given to another task than " + attempt.task_id);
    }
    highest.fence = std::max(highest.fence, attempt.fence);
  }

  void Apply(const AppendEvent& append, Highest& highest) {
    Run(statements_.append_event, BindEvent, append.event);
    highest.sequence = std::max(highest.sequence, append.event.sequence);
  }

  void Apply(const PutDeadLetter& put, Highest& /*highest*/) {
    OneTime statement(database_, kPutDeadLetterSql);
    BindDeadLetter(*statement, put.letter);
    statement->Run();
  }

  void Apply(const PutRedrive& put, Highest& /*highest*/) {
    OneTime statement(database_, kPutRedriveSql);
    BindRedrive(*statement, put.redrive);
    statement->Run();
  }

  void Apply(const PutPurge& put, Highest& /*highest*/) {
    OneTime statement(database_, kPutPurgeSql);
    BindPurge(*statement, put.purge);
    statement->Run();
  }

  void Apply(const RemoveJob& remove, Highest& /*highest*/) {
    RemoveJobRows(database_, remove.job_id);
  }

  [[noreturn]] void RefuseUnknown(const std::string& job_id) const {
    throw Error(ErrorCode::kInternal, "the ledger " + file_.string() + " has no job " + job_id);
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
  auto ReadAll(const std::string& sql, Read read)
      -> std::vector<decltype(read(std::declval<Execution&>()))> {
    SQLite::Statement statement(database_, sql);
    Execution execution(statement);
    return ReadRows(execution, read);
  }

  const std::filesystem::path file_;
  SQLite::Database database_;
  LedgerStatements statements_;
  bool noted_ = false;  // the file notes that it is open
};

}  // namespace

std::unique_ptr<Ledger> OpenSqliteLedger(const std::filesystem::path& file) {
  return std::make_unique<SqliteLedger>(file);
}

}  // namespace millrace::broker
