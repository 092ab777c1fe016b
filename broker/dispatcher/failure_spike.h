#pragma once

#include <chrono>
#include <cstddef>
#include <deque>
#include <map>
#include <optional>
#include <string>

#include "core/base/clock.h"

namespace millrace::broker {

struct SpikeLimits {
  std::chrono::milliseconds window{60'000};
  size_t jobs = 10;  // that have to fail within it
  std::chrono::milliseconds base{30'000};
  std::chrono::milliseconds cap{600'000};
  int most_pauses = 7;  // in a row; with the times above they last for half an hour
};

// The end of an attempt as evidence about the machinery: kFailed if it may be the machinery's
// fault, kOther if it is the input's own.
enum class AttemptEnd { kSucceeded, kFailed, kOther };

// Detects that jobs fail on all workers at once: many different jobs, more than half of all
// attempts, and some on every worker. Then neither a job nor a worker is to blame, and each retry
// only uses up an attempt of its job: retries pause, twice as long each time in a row. At the end
// of a pause one retry goes first, the canary: its success ends the pause, its failure begins the
// next. A pause also ends when most of the other attempts since have succeeded, and after
// `most_pauses` in a row: jobs that still fail then are to blame themselves. Owned by the
// dispatcher; knows no clock.
class FailureSpike {
 public:
  enum class Change { kNone, kPaused, kResumed };

  explicit FailureSpike(SpikeLimits limits) : limits_(limits) {}

  // Counts the end of an attempt of this task and job on this worker.
  Change OnEnd(const std::string& task, const std::string& job, const std::string& worker,
               AttemptEnd end, MonotonicTime now);
  // The attempt of this task ended without evidence, or it was cancelled. If it was the canary,
  // returns true, and another retry may become the canary.
  bool OnCanaryGone(const std::string& task);
  // Drops the failures on this worker, which is known to be broken: they are no evidence of a
  // spike.
  void Disregard(const std::string& worker);

  // Returns true if a task whose retry is due may go now. If not, ask again at until(), or, if that
  // has passed, when the canary has ended.
  bool MayGo(const std::string& task, MonotonicTime now);
  // Ends the pause if no retry has become the canary. Call it when until() has come and all retries
  // that were due have asked.
  Change OnPauseOver(MonotonicTime now);

  bool paused() const { return paused_; }
  bool IsCanary(const std::string& task) const { return paused_ && canary_ == task; }
  // The time from which a retry may become the canary. REQUIRES: paused().
  MonotonicTime until() const { return until_; }
  // Returns until() while the pause has no canary.
  std::optional<MonotonicTime> NextChange() const;

 private:
  struct Ended {
    MonotonicTime at;
    std::string job;
    std::string worker;
    bool failed;
  };
  struct Tally {
    size_t ended = 0;
    size_t failed = 0;
  };

  void Count(Ended ended);
  void Forget(const Ended& ended);
  bool IsSpike() const;
  bool MostSucceeded() const { return since_pause_.ended > since_pause_.failed * 2; }
  void Pause(MonotonicTime now);
  void Resume();

  const SpikeLimits limits_;
  std::deque<Ended> window_;  // the next three are sums over it
  std::map<std::string, size_t> failed_jobs_;
  std::map<std::string, Tally> workers_;
  Tally all_;

  bool paused_ = false;
  MonotonicTime until_{};
  int pauses_ = 0;      // in a row
  std::string canary_;  // a task; empty: there is none yet
  Tally since_pause_;   // without canaries
};

}  // namespace millrace::broker
