#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/ledger/records.h"

namespace millrace::broker {

// Thrown when a ledger can never write again, even if the disk recovers. It is not an Error because
// a retry cannot help: the broker exits and must be restarted.
class ReadOnlyLedger final : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// The durable record of jobs and tasks. Owned by the broker's loop and used by its thread alone;
// the broker is the only writer. Every method throws Error{kStorageError}, {kStorageFull} or
// {kLedgerCorrupt}; Commit() and CheckWritable() also throw ReadOnlyLedger.
class Ledger {
 public:
  virtual ~Ledger() = default;

  virtual Snapshot Load() = 0;
  // Makes all changes durable in one transaction, or none of them.
  virtual void Commit(const std::vector<LedgerChange>& changes) = 0;
  // Commits a no-op to test that the ledger is writable. Throws like Commit.
  virtual void CheckWritable() = 0;

  virtual std::optional<Job> FindJob(const std::string& id) = 0;
  // Finds the job that was submitted with this Idempotency-Key. REQUIRES: `key` is not empty.
  virtual std::optional<Job> FindJobByKey(const std::string& key) = 0;
  // Returns the tasks of the job's current generation in any state, ordered by id.
  virtual std::vector<TaskRecord> TasksOf(const std::string& job_id) = 0;
  // Returns the attempts of the job, newest last.
  virtual std::vector<Attempt> AttemptsOf(const std::string& job_id) = 0;
  // Returns the number of the job's last attempt in this generation; 0 if there was none.
  virtual int LastAttemptNumber(const std::string& job_id, int generation) = 0;
  // Throws Error{kInvalidRequest} for a page token that this ledger did not make.
  virtual JobPage ListJobs(const JobFilter& filter) = 0;
  // Returns at most `limit` events of a job with a sequence number above `after`, in order.
  virtual std::vector<EventRecord> EventsOf(const std::string& job_id, int64_t after,
                                            size_t limit) = 0;

  // Finds the job's dead letter of the newest generation.
  virtual std::optional<DeadLetterRecord> FindDeadLetter(const std::string& job_id) = 0;
  // Lists newest first. Throws Error{kInvalidRequest} for a page token that this ledger did not
  // make.
  virtual DeadLetterPage ListDeadLetters(const DeadLetterFilter& filter) = 0;
  virtual int64_t CountDeadLetters(const DeadLetterFilter& filter) = 0;
  // Returns at most `limit` groups, largest first.
  virtual std::vector<DeadLetterGroup> DeadLetterGroups(const DeadLetterFilter& filter,
                                                        size_t limit) = 0;
  // Returns at most `limit` open letters that match the filter; ignores the filter's state.
  virtual std::vector<DeadLetterRecord> OpenLettersOldestFirst(const DeadLetterFilter& filter,
                                                               size_t limit) = 0;
  virtual std::optional<RedriveRecord> FindRedrive(const std::string& id) = 0;
  virtual std::optional<PurgeRecord> FindPurge(const std::string& id) = 0;

  // Retention queries. Each returns at most `limit` results, oldest first, in time proportional to
  // the results.

  // Returns jobs that ended before `time` in one of `states`, all of which must be terminal.
  virtual std::vector<std::string> EndedBefore(const std::vector<JobState>& states, WallTime time,
                                               size_t limit) = 0;
  // Returns open letters of jobs that died before `time`.
  virtual std::vector<DeadLetterRecord> LettersDiedBefore(WallTime time, size_t limit) = 0;
  // Returns true if any job in the ledger, ended or not, uses this upload as its input.
  virtual bool IsUploadNamed(const std::string& upload_id) = 0;
  // Returns nullopt if the ledger has no such job.
  virtual std::optional<JobStanding> FindStanding(const std::string& job_id) = 0;
  // Removes the events of removed jobs whose last event is older than `time`, for at most
  // `max_jobs` jobs, and records the removed sequence numbers. Returns the number of events
  // removed. Durable like Commit.
  virtual size_t PruneEvents(WallTime time, size_t max_jobs) = 0;
  // Removes redrives that no longer wait and bulk purges, if made before `time`; at most `limit` of
  // each. Returns the number removed. Durable like Commit.
  virtual size_t PruneRequests(WallTime time, size_t limit) = 0;
};

// Opens the embedded default: one SQLite file in WAL mode with synchronous=FULL, created if
// missing. Upgrades a file of an older schema. Refuses a file that is damaged (checks every page at
// start), is not a ledger, or has a newer schema; the error names the file and what to do.
std::unique_ptr<Ledger> OpenSqliteLedger(const std::filesystem::path& file);

}  // namespace millrace::broker
