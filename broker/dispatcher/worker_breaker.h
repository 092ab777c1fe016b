#pragma once

#include <chrono>
#include <cstddef>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/model/task.h"

namespace millrace::broker {

struct BreakerLimits {
  size_t jobs = 3;  // different jobs that have to fail in a row
  std::chrono::milliseconds base{30'000};
  std::chrono::milliseconds cap{600'000};
};

// The circuit breakers of the workers, by name. If different jobs fail in a row on one worker while
// another worker fares better, the worker is taken to be broken: its breaker opens, and it is given
// no task for a while, twice as long each time in a row. Then it is given one task (half-open): its
// success closes the breaker, its failure opens it again. Owned by the dispatcher; knows no clock.
class WorkerBreakers {
 public:
  enum class State { kClosed, kOpen, kHalfOpen };

  struct View {
    State state = State::kClosed;
    size_t failures = 0;  // different jobs that failed in a row
    std::optional<MonotonicTime> half_open_at;
  };

  explicit WorkerBreakers(BreakerLimits limits) : limits_(limits) {}

  // Counts a failure that may be the worker's fault. `others` are the workers to compare it with.
  // Returns true if the breaker opens by it.
  bool OnFailure(const std::string& worker, const std::string& job, MonotonicTime now,
                 const std::vector<std::string>& others);
  // Returns true if the breaker closes by it.
  bool OnSuccess(const std::string& worker, MonotonicTime now);
  // The attempt of this fence ended without evidence for or against the worker.
  void OnNeither(const std::string& worker, Fence fence);
  // The worker was given a task. REQUIRES: MayTake(worker).
  void OnLease(const std::string& worker, Fence fence);
  // The worker is gone. Its breaker is kept unless it is closed: a restart does not repair a
  // worker.
  void OnGone(const std::string& worker, MonotonicTime now);

  // True if the worker may be given a task.
  bool MayTake(const std::string& worker) const;
  View ViewOf(const std::string& worker) const;

  // Returns when the next breaker becomes half-open; nullopt: none is open.
  std::optional<MonotonicTime> NextChange() const;
  // Makes the open breakers half-open whose time has come.
  void Refresh(MonotonicTime now);
  // Makes all open breakers half-open, as no other worker is left.
  void RelentAll();
  bool AllClosed() const;

 private:
  struct Breaker {
    State state = State::kClosed;
    std::set<std::string> failed_jobs;  // in a row; at most BreakerLimits::jobs
    MonotonicTime first_failure{};      // of those in a row
    std::optional<MonotonicTime> last_failure;
    std::optional<MonotonicTime> last_success;
    MonotonicTime half_open_at{};
    int openings = 0;  // in a row
    Fence trial = 0;   // the lease that a half-open breaker waits for; 0: none
    bool there = true;
  };

  void Open(Breaker& breaker, MonotonicTime now);
  bool FaredBetter(const std::string& other, MonotonicTime since) const;

  const BreakerLimits limits_;
  std::map<std::string, Breaker> breakers_;
};

std::string_view NameOf(WorkerBreakers::State state);

}  // namespace millrace::broker
