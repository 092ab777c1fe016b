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
  size_t jobs = 10;  // different ones that failed in it
  std::chrono::milliseconds base{30'000};
  std::chrono::milliseconds cap{600'000};
  int most_pauses = 7;  // in a row; with the times above: for half an hour
};

// How an attempt ended, as far as it tells of the machinery: kFailed for what may be its fault,
// kOther for what is the input's own.
enum class AttemptEnd { kSucceeded, kFailed, kOther };

// Sees when jobs fail on all workers at once: many different ones, more than half of all attempts,
// and on each worker that ended any. Then it is neither the jobs nor one worker, and trying again
// burns what each job has left: retries pause, twice as long each time in a row. At the end of a
// pause one retry goes first, the canary; its success ends the pause, its failure begins the next.
// A pause also ends when most of what else ran has succeeded, and after `most_pauses` in a row:
// what fails then fails for itself. Owned by the dispatcher; knows no clock.
class FailureSpike {
 public:
  enum class Change { kNone, kPaused, kResumed };

  explicit FailureSpike(SpikeLimits limits) : limits_(limits) {}

  // An attempt of this task and job ended on this worker.
  Change OnEnd(const std::string& task, const std::string& job, const std::string& worker,
               AttemptEnd end, MonotonicTime now);
  // The canary ended, or was cancelled, in a way that tells nothing: another takes its place.
  // Returns whether this task was the canary.
  bool OnCanaryGone(const std::string& task);
  // This worker is known to be broken: what failed there is no sign of anything else.
  void Disregard(const std::string& worker);

  // Whether a task whose retry is due may go now. One that may not asks again at until(), or, if
  // that has passed, when the canary has ended.
  bool MayGo(const std::string& task, MonotonicTime now);
  // Call it when until() has come and all that were due have asked: if none of them has become the
  // canary there is nothing to hold back.
  Change OnPauseOver(MonotonicTime now);

  bool paused() const { return paused_; }
  bool IsCanary(const std::string& task) const { return paused_ && canary_ == task; }
  // When the canary may go. REQUIRES: paused().
  MonotonicTime until() const { return until_; }
  // until(), while it is waited for.
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
  std::deque<Ended> window_;  // and sums over it
  std::map<std::string, size_t> failed_jobs_;
  std::map<std::string, Tally> workers_;
  Tally all_;

  bool paused_ = false;
  MonotonicTime until_{};
  int pauses_ = 0;      // in a row
  std::string canary_;  // a task; empty: none has gone
  Tally since_pause_;   // without canaries
};

}  // namespace millrace::broker
