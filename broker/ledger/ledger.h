#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/ledger/records.h"

namespace millrace::broker {

// A ledger that will never write again, whatever becomes of the disk. No Error, which would stand
// for something that may work when it is tried again: the broker ends, and is started anew.
class ReadOnlyLedger final : public std::runtime_error {
  using std::runtime_error::runtime_error;
};

// What is true, on disk. Owned by the broker's loop and used by its thread alone; the broker is the
// only writer. Every method throws Error{kStorageError}, {kStorageFull} or {kLedgerCorrupt};
// Commit() and CheckWritable() also ReadOnlyLedger.
class Ledger {
 public:
  virtual ~Ledger() = default;

  virtual Snapshot Load() = 0;
  // Makes all changes durable in one transaction, or none of them.
  virtual void Commit(const std::vector<LedgerChange>& changes) = 0;
  // Writes something without meaning durably; throws like Commit where that is not possible.
  virtual void CheckWritable() = 0;

  virtual std::optional<Job> FindJob(const std::string& id) = 0;
  // The job that was submitted with this Idempotency-Key, which is not empty.
  virtual std::optional<Job> FindJobByKey(const std::string& key) = 0;
  // Those of the job's current generation, whatever their states, by id.
  virtual std::vector<TaskRecord> TasksOf(const std::string& job_id) = 0;
  // Newest last.
  virtual std::vector<Attempt> AttemptsOf(const std::string& job_id) = 0;
  // The number of the last attempt of a job in one generation; 0: none was made.
  virtual int LastAttemptNumber(const std::string& job_id, int generation) = 0;
  // Throws Error{kInvalidRequest} for a page token that this ledger did not make.
  virtual JobPage ListJobs(const JobFilter& filter) = 0;
  // At most `limit` events of a job with a sequence number above `after`, in order.
  virtual std::vector<EventRecord> EventsOf(const std::string& job_id, int64_t after,
                                            size_t limit) = 0;

  // Of the newest generation.
  virtual std::optional<DeadLetterRecord> FindDeadLetter(const std::string& job_id) = 0;
  // Newest first. Throws Error{kInvalidRequest} for a page token that this ledger did not make.
  virtual DeadLetterPage ListDeadLetters(const DeadLetterFilter& filter) = 0;
  virtual int64_t CountDeadLetters(const DeadLetterFilter& filter) = 0;
  // The largest first, at most `limit`.
  virtual std::vector<DeadLetterGroup> DeadLetterGroups(const DeadLetterFilter& filter,
                                                        size_t limit) = 0;
  // Those that a filter finds among the open ones, whatever it says of the state; at most `limit`.
  virtual std::vector<DeadLetterRecord> OpenLettersOldestFirst(const DeadLetterFilter& filter,
                                                               size_t limit) = 0;
  virtual std::optional<RedriveRecord> FindRedrive(const std::string& id) = 0;
  virtual std::optional<PurgeRecord> FindPurge(const std::string& id) = 0;

  // For retention. What is found is the oldest first, at most `limit`, and costs what it returns.

  // Jobs in one of these states, all of which are ends, that ended before `time`.
  virtual std::vector<std::string> EndedBefore(const std::vector<JobState>& states, WallTime time,
                                               size_t limit) = 0;
  // Open letters.
  virtual std::vector<DeadLetterRecord> LettersDiedBefore(WallTime time, size_t limit) = 0;
  // Whether a job of the ledger, ended or not, has this upload as its input.
  virtual bool IsUploadNamed(const std::string& upload_id) = 0;
  // nullopt: the ledger has no such job.
  virtual std::optional<JobStanding> FindStanding(const std::string& job_id) = 0;
  // Removes the events of removed jobs whose last event is older than `time`, of at most
  // `max_jobs` jobs, and notes which sequence numbers they had. Returns the number of events.
  // Makes it durable like Commit.
  virtual size_t PruneEvents(WallTime time, size_t max_jobs) = 0;
  // Removes redrives that wait for nothing any more and purges of many that were made before
  // `time`, at most `limit` of each. Returns how many. Makes it durable like Commit.
  virtual size_t PruneRequests(WallTime time, size_t limit) = 0;
};

// The embedded default: one SQLite file in WAL mode with synchronous=FULL, created if it does not
// exist. Refuses, naming the file and what to do, one that is damaged (a quick check of the whole
// file at start), not a ledger, or of a newer schema. Brings one of an older schema up to date.
std::unique_ptr<Ledger> OpenSqliteLedger(const std::filesystem::path& file);

}  // namespace millrace::broker
