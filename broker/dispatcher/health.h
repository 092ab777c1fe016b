#pragma once

#include <string>

#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/retry_policy.h"
#include "broker/dispatcher/state.h"

namespace millrace::broker {

// Finds out whose fault it is when much fails: one worker's, whose breaker opens, or the fleet's,
// on which retries pause. Owned by the dispatcher.
class Health {
 public:
  Health(DispatcherState& state, const RetryPolicy& retry) : state_(state), retry_(retry) {}

  // Counts the end of the task's last attempt for or against its worker and the fleet.
  void CountEnd(Draft& draft, const TaskEntry& task, AttemptEnd end);
  // Takes note of an attempt that is no evidence for or against its worker: it was cancelled, lost
  // or released.
  void DropEvidence(Draft& draft, const TaskEntry& task);
  // Holds back the workers whose breakers are open.
  void FollowBreakers(Now now);

  // Has a retry that is due wait on while retries pause. Returns false if it may go.
  bool HoldBack(Draft& draft, TaskEntry& task);
  // Ends a pause whose time is over and that no retry waits for.
  void EndPause(Draft& draft);
  // Judges as RetryPolicy does, but gives nothing up while retries pause.
  Verdict Judge(TaskEntry& task, const Error& error, bool is_canary, Now now);

 private:
  void CountForBreaker(Draft& draft, const std::string& worker, AttemptEnd end,
                       const std::string& job);
  void FollowSpike(Draft& draft, FailureSpike::Change change);
  // Lets retries that are held back ask again at `when`.
  void WakeRetries(MonotonicTime when);

  DispatcherState& state_;
  const RetryPolicy& retry_;
};

}  // namespace millrace::broker
