#pragma once

#include <chrono>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/base/mutex.h"
#include "tests/chaos/workload.h"

namespace millrace::chaos {

// What one client was told of one job, and nothing that it was not told.
struct JobRecord {
  std::string id;   // empty: not acknowledged yet
  std::string key;  // the Idempotency-Key, and the external id
  const JobKind* kind = nullptr;
  std::string input_sha256;  // as the upload was acknowledged
  bool cancel_asked = false;
  bool cancel_acknowledged = false;
  bool lost = false;
  std::map<int, int> percents;    // the highest seen, by generation
  nlohmann::json ended;           // as it was first seen in a terminal state; null: not yet
  std::vector<int64_t> followed;  // numbers of its events as a stream brought them; empty: none did
};

// A promise that was not kept.
struct Violation {
  std::string rule;
  std::string job;  // empty: of no one job
  std::string detail;
};

// What the clients of one episode have been told. Thread-safe.
class Record {
 public:
  // `shown`: the job as the answer had it.
  void Acknowledged(const JobRecord& job, const nlohmann::json& shown);
  void CancelAsked(const std::string& id);
  void CancelAcknowledged(const std::string& id);
  // A job as a client was shown it: checks it against what was shown before.
  void Seen(const nlohmann::json& job);
  // The service says that there is no such job.
  void Lost(const std::string& id);
  void Followed(const std::string& id, std::vector<int64_t> events);
  void Violated(Violation violation);

  // Ids of jobs that nobody has seen in a terminal state.
  std::vector<std::string> Open() const;
  size_t open_count() const;
  size_t acknowledged_count() const;
  // A job is going to live again: that it had ended counts no more.
  void Redriven(const std::string& id);
  std::vector<JobRecord> Jobs() const;
  std::vector<Violation> Violations() const;

 private:
  void See(JobRecord& known, const nlohmann::json& job) REQUIRES(mutex_);
  void CheckAgainst(const JobRecord& known, const nlohmann::json& job) REQUIRES(mutex_);

  mutable Mutex mutex_;
  std::map<std::string, JobRecord> jobs_ GUARDED_BY(mutex_);  // by id
  size_t open_ GUARDED_BY(mutex_) = 0;
  std::vector<Violation> violations_ GUARDED_BY(mutex_);
};

}  // namespace millrace::chaos
