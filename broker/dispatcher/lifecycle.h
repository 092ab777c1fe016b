#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "broker/dispatcher/canaries.h"
#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/health.h"
#include "broker/dispatcher/job_aggregator.h"
#include "broker/dispatcher/letters.h"
#include "broker/dispatcher/options.h"
#include "broker/dispatcher/retry_policy.h"
#include "broker/dispatcher/state.h"

namespace millrace::broker {

// The tools of Lifecycle; all must outlive it.
struct LifecycleParts {
  const DispatcherOptions& options;
  const RetryPolicy& retry;
  DispatcherState& state;
  JobAggregator& aggregator;
  Health& health;
  Letters& letters;
  Canaries& canaries;
};

// Takes tasks and jobs from their first lease to their end: what follows from a finished, failed,
// lost or cancelled attempt, and from publishing and burying. Owned by the dispatcher.
class Lifecycle {
 public:
  explicit Lifecycle(LifecycleParts parts) : parts_(parts), state_(parts.state) {}

  // Takes up the publishing and burying that an earlier broker had begun.
  void Resume(Draft& draft);

  // Puts the tasks of a job in line, but for those that wait for others of them.
  void Queue(Draft& draft, JobEntry& entry);

  // --- REQUIRES: the task has a lease.
  void Finish(Draft& draft, TaskEntry& task, nlohmann::json manifest, const Manifest& parsed);
  void Fail(Draft& draft, TaskEntry& task, nlohmann::json failure);
  // Ends an attempt without blame on the task: its worker was lost, or gave it back. A task that is
  // being cancelled is stopped by it. `outcome` is "lost" or "released".
  void Lose(Draft& draft, TaskEntry& task, const Error& error, std::string_view outcome);
  // Ends the attempt of a task that is being cancelled.
  void Stop(Draft& draft, TaskEntry& task, std::string_view outcome);

  // REQUIRES: the job is queued, running or waits for a retry.
  void Cancel(Draft& draft, JobEntry& entry);
  // Gives a task up before it has run, and its job with it. REQUIRES: it is queued, and no task of
  // the job is in line.
  void FailUnstarted(Draft& draft, TaskEntry& task, const Error& error);
  // Does what the deadline of a task was set for.
  void OnDeadline(Draft& draft, TaskEntry& task);

  // --- Results of effects. One that comes too late changes nothing.
  void OnResult(Draft& draft, const Published& published);
  void OnResult(Draft& draft, const PublishFailed& failed);
  void OnResult(Draft& draft, const Buried& buried);
  void OnResult(Draft& draft, const BuryFailed& failed);

 private:
  // Closes the current attempt and lets go of its lease.
  void EndAttempt(Draft& draft, TaskEntry& task, std::string_view outcome);
  void EndBadly(Draft& draft, TaskEntry& task, nlohmann::json failure, std::string_view outcome);
  void Apply(Draft& draft, TaskEntry& task, const Verdict& verdict);
  // Makes a task done, lets those run that waited for it, and publishes if it was the last.
  void Complete(Draft& draft, TaskEntry& task, nlohmann::json manifest);
  // Ends a task for good: the others of its job are stopped, and then the job is buried.
  void GiveUp(Draft& draft, TaskEntry& task);
  // Has the tasks of a job stop that have not ended.
  void StopTasks(Draft& draft, JobEntry& entry);
  // Runs a finished task again, as its outputs are gone.
  void Redo(Draft& draft, TaskEntry& task, const Error& error);
  // Buries the job if a task of it has failed for good and none runs any more.
  void BuryOnceStopped(Draft& draft, JobEntry& entry);
  void TryEffectLater(TaskEntry& task, Now now);
  JobEntry* FindPublishing(const std::string& job_id, Fence fence) const;
  // REQUIRES: the job's state is terminal.
  void EndJob(Draft& draft, JobEntry& entry);

  const LifecycleParts parts_;
  DispatcherState& state_;
};

}  // namespace millrace::broker
