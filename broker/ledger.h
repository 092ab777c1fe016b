#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "broker/records.h"

namespace millrace {

// What is true, on disk. Owned by the broker's loop and used by its thread alone; the broker is the
// only writer. Every method throws Error{kStorageError}, {kStorageFull} or {kLedgerCorrupt}.
class Ledger {
 public:
  virtual ~Ledger() = default;

  virtual Snapshot Load() = 0;
  // Makes all changes durable in one transaction, or none of them.
  virtual void Commit(const std::vector<LedgerChange>& changes) = 0;
  // Writes something without meaning durably; throws like Commit where that is not possible.
  virtual void CheckWritable() = 0;

  virtual std::optional<Job> FindJob(const std::string& id) = 0;
  // Newest last.
  virtual std::vector<Attempt> AttemptsOf(const std::string& job_id) = 0;
  // The number of the last attempt of a job in one generation; 0: none was made.
  virtual int LastAttemptNumber(const std::string& job_id, int generation) = 0;
  // Throws Error{kInvalidRequest} for a page token that this ledger did not make.
  virtual JobPage ListJobs(const JobFilter& filter) = 0;
  // At most `limit` events with a sequence number above `after`, in order.
  virtual std::vector<EventRecord> EventsAfter(int64_t after, size_t limit) = 0;
};

// The embedded default: one SQLite file in WAL mode with synchronous=FULL, created if it does not
// exist. Refuses, naming the file and what to do, one that is damaged (a quick check of the whole
// file at start), not a ledger, or of a newer schema.
std::unique_ptr<Ledger> OpenSqliteLedger(const std::filesystem::path& file);

}  // namespace millrace
