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

// Everything that one client was told about one job, and nothing else.
struct JobRecord {
  std::string id;   // empty: not acknowledged yet
  std::string key;  // both the Idempotency-Key and the external id
  const JobKind* kind = nullptr;
  std::string input_sha256;  // as the upload was acknowledged
  bool cancel_asked = false;
  bool cancel_acknowledged = false;
  bool lost = false;
  std::map<int, int> percents;    // the highest seen, by generation
  nlohmann::json ended;           // first seen terminal state of the job; null: none yet
  std::vector<int64_t> followed;  // event numbers received from a stream; empty: none
};

// A broken promise.
struct Violation {
  std::string rule;
  std::string job;  // empty: concerns no single job
  std::string detail;
};

// Everything that the clients of one episode were told. Thread-safe.
class Record {
 public:
  // `shown` is the job as it appears in the answer.
  void Acknowledged(const JobRecord& job, const nlohmann::json& shown);
  void CancelAsked(const std::string& id);
  void CancelAcknowledged(const std::string& id);
  // Checks a job that a client was shown against what was shown before.
  void Seen(const nlohmann::json& job);
  // Records that the service claims not to know this job.
  void Lost(const std::string& id);
  void Followed(const std::string& id, std::vector<int64_t> events);
  void Violated(Violation violation);

  // Returns the ids of jobs that nobody has seen in a terminal state.
  std::vector<std::string> Open() const;
  size_t open_count() const;
  size_t acknowledged_count() const;
  // Forgets that the job had ended, as it is about to be redriven.
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
