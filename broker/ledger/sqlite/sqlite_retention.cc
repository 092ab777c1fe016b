#include "broker/ledger/sqlite/sqlite_retention.h"

#include "broker/ledger/sqlite/sqlite_rows.h"

namespace millrace::broker {
namespace {

std::string ReadText(Execution& execution) { return RowReader(execution).Text(); }

int64_t ReadInteger(Execution& execution) { return RowReader(execution).Integer(); }

void RunFor(SQLite::Database& database, const std::string& sql, const std::string& id) {
  OneTime statement(database, sql);
  statement->Text(id).Run();
}

// Adds a number to the ranges of removed_events, so that no two of them touch.
void NoteRemoved(SQLite::Database& database, int64_t sequence) {
  OneTime extend(database,
                 "UPDATE removed_events SET last = ? WHERE last = ? AND first = "
                 "(SELECT max(first) FROM removed_events WHERE first < ?)");
  if (extend->Integer(sequence).Integer(sequence - 1).Integer(sequence).Run() == 0) {
    OneTime insert(database, "INSERT INTO removed_events (first, last) VALUES (?, ?)");
    insert->Integer(sequence).Integer(sequence).Run();
  }
  // Join with the range that begins right behind it.
  OneTime next(database, "SELECT last FROM removed_events WHERE first = ?");
  next->Integer(sequence + 1);
  if (!next->Step()) return;
  const int64_t last = ReadInteger(*next);
  OneTime(database, "DELETE FROM removed_events WHERE first = ?")->Integer(sequence + 1).Run();
  OneTime join(database,
               "UPDATE removed_events SET last = ? WHERE first = "
               "(SELECT max(first) FROM removed_events WHERE first <= ?)");
  join->Integer(last).Integer(sequence).Run();
}

struct RemovedJob {
  int64_t last_event_at = 0;
  int64_t last_sequence = 0;
  std::string id;
};

RemovedJob ReadRemovedJob(Execution& execution) {
  RowReader row(execution);
  RemovedJob job;
  job.last_event_at = row.Integer();
  job.last_sequence = row.Integer();
  job.id = row.Text();
  return job;
}

size_t RemoveEventsOf(SQLite::Database& database, const RemovedJob& job) {
  OneTime query(database,
                "SELECT sequence FROM events INDEXED BY events_by_job "
                "WHERE job_id = ? AND sequence <= ? ORDER BY sequence");
  query->Text(job.id).Integer(job.last_sequence);
  const std::vector<int64_t> sequences = ReadRows(*query, ReadInteger);
  for (const int64_t sequence : sequences) {
    OneTime(database, "DELETE FROM events WHERE sequence = ?")->Integer(sequence).Run();
    NoteRemoved(database, sequence);
  }
  return sequences.size();
}

}  // namespace

std::vector<std::string> EndedBefore(SQLite::Database& database,
                                     const std::vector<JobState>& states, WallTime time,
                                     size_t limit) {
  // SQLite merges arms that are each in order, so several states cost no more than one. The last
  // condition repeats that of the partial index.
  std::string sql;
  for (size_t i = 0; i < states.size(); ++i) {
    if (i > 0) sql += " UNION ALL ";
    sql +=
        "SELECT id, finished_at FROM jobs INDEXED BY jobs_ended WHERE state = ? "
        "AND finished_at < ? AND state IN ('succeeded', 'cancelled', 'dead')";
  }
  if (sql.empty()) return {};
  OneTime query(database, sql + " ORDER BY finished_at, id LIMIT ?");
  for (const JobState state : states) query->Text(NameOf(state)).Time(time);
  query->Integer(static_cast<int64_t>(limit));
  return ReadRows(*query, ReadText);
}

std::vector<DeadLetterRecord> LettersDiedBefore(SQLite::Database& database, WallTime time,
                                                size_t limit) {
  OneTime query(database, std::string("SELECT ") + kDeadLetterColumns +
                              " FROM dead_letters INDEXED BY dead_letters_by_state "
                              "WHERE state = 'open' AND died_at < ? "
                              "ORDER BY died_at, job_id, generation LIMIT ?");
  query->Time(time).Integer(static_cast<int64_t>(limit));
  return ReadRows(*query, ReadDeadLetter);
}

bool IsUploadNamed(SQLite::Database& database, const std::string& upload_id) {
  OneTime query(database,
                "SELECT 1 FROM jobs INDEXED BY jobs_by_upload WHERE upload = ? AND upload <> '' "
                "LIMIT 1");
  return query->Text(upload_id).Step();
}

std::optional<JobStanding> FindStanding(SQLite::Database& database, const std::string& job_id) {
  OneTime query(database, "SELECT state, generation, published_fence FROM jobs WHERE id = ?");
  if (!query->Text(job_id).Step()) return std::nullopt;
  RowReader row(*query);
  JobStanding standing;
  standing.state = ReadJobState(row);
  standing.generation = row.Int();
  standing.published_fence = row.Integer();
  return standing;
}

void RemoveJobRows(SQLite::Database& database, const std::string& job_id) {
  const std::optional<JobStanding> standing = FindStanding(database, job_id);
  if (!standing || !IsTerminal(standing->state)) {
    throw Error(ErrorCode::kInternal, "job " + job_id + " cannot be removed: " +
                                          (standing ? "it has not ended" : "there is none"));
  }
  OneTime note(database,
               "INSERT INTO removed_jobs (last_event_at, last_sequence, job_id) "
               "SELECT max(at), max(sequence), job_id FROM events WHERE job_id = ? "
               "GROUP BY job_id");
  note->Text(job_id).Run();
  RunFor(database, "DELETE FROM attempts WHERE task_id IN (SELECT id FROM tasks WHERE job_id = ?)",
         job_id);
  RunFor(database, "DELETE FROM tasks WHERE job_id = ?", job_id);
  RunFor(database,
         "DELETE FROM job_labels WHERE (name, value, created_at, job_id) IN "
         "(SELECT name, value, created_at, job_id FROM job_labels INDEXED BY job_labels_by_job "
         "WHERE job_id = ?)",
         job_id);
  RunFor(database, "DELETE FROM dead_letters WHERE job_id = ?", job_id);
  RunFor(database, "DELETE FROM redrives WHERE canary = ? AND state <> 'waiting'", job_id);
  RunFor(database, "DELETE FROM jobs WHERE id = ?", job_id);
}

size_t PruneEventRows(SQLite::Database& database, WallTime time, size_t max_jobs) {
  OneTime query(database,
                "SELECT last_event_at, last_sequence, job_id FROM removed_jobs "
                "WHERE last_event_at < ? ORDER BY last_event_at, last_sequence LIMIT ?");
  query->Time(time).Integer(static_cast<int64_t>(max_jobs));
  size_t removed = 0;
  for (const RemovedJob& job : ReadRows(*query, ReadRemovedJob)) {
    removed += RemoveEventsOf(database, job);
    OneTime forget(database,
                   "DELETE FROM removed_jobs WHERE last_event_at = ? AND last_sequence = ?");
    forget->Integer(job.last_event_at).Integer(job.last_sequence).Run();
  }
  return removed;
}

size_t PruneRequestRows(SQLite::Database& database, WallTime time, size_t limit) {
  size_t removed = 0;
  for (const char* oldest : {"redrives WHERE id IN (SELECT id FROM redrives INDEXED BY "
                             "redrives_settled WHERE state <> 'waiting' AND ",
                             "purges WHERE id IN (SELECT id FROM purges INDEXED BY "
                             "purges_by_time WHERE "}) {
    OneTime statement(database, std::string("DELETE FROM ") + oldest +
                                    "created_at < ? ORDER BY created_at, id LIMIT ?)");
    statement->Time(time).Integer(static_cast<int64_t>(limit));
    removed += static_cast<size_t>(statement->Run());
  }
  return removed;
}

}  // namespace millrace::broker
