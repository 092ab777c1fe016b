#pragma once

#include <chrono>
#include <functional>

#include "broker/ledger/records.h"
#include "core/base/error.h"

namespace millrace::broker {

enum class RetryAction {
  kRequeue,  // back into the queue at once
  kRetry,    // back into the queue after a wait
  kBury,     // no further attempt
};

struct Verdict {
  RetryAction action = RetryAction::kBury;
  std::chrono::milliseconds delay{0};  // of kRetry
};

struct RetryLimits {
  std::chrono::milliseconds base;
  std::chrono::milliseconds cap;
  int max_infrastructure_failures = 0;
  int max_unknown_attempts = 0;
};

// Decides whether a task is tried again after a failed attempt, and when; docs/architecture.md,
// "Failure", has the table. Knows no clock. Owned by the dispatcher.
class RetryPolicy {
 public:
  // `random` returns numbers in [0, 1).
  RetryPolicy(RetryLimits limits, std::function<double()> random);

  // Counts the attempt that ended with `error` on `worker` against the task, and decides.
  Verdict Judge(TaskRecord& task, const Error& error, const std::string& worker,
                int max_attempts) const;

  // Returns a random wait after the nth failure in a row: up to base * 2^(n-1), at most the cap
  // ("full jitter": https://aws.amazon.com/blogs/architecture/exponential-backoff-and-jitter/).
  std::chrono::milliseconds Backoff(int failures) const;

  std::chrono::milliseconds cap() const { return limits_.cap; }

 private:
  Verdict JudgeInfrastructure(const TaskRecord& task, ErrorCode code) const;
  Verdict RetryUnless(bool exhausted, int failures) const;

  const RetryLimits limits_;
  const std::function<double()> random_;
};

// True if encoders have crashed on this task often enough to blame its input: on two different
// workers, or three times in all.
bool IsPoison(const TaskRecord& task);

// Returns why a task that gets no further attempt has failed: its last failure, or poison.
Error CauseOfDeath(const TaskRecord& task);

}  // namespace millrace::broker
