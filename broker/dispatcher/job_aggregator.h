#pragma once

#include <optional>

#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/state.h"
#include "core/base/error.h"
#include "core/model/job.h"

namespace millrace::broker {

// Computes a job from all of its tasks: its state, its progress, its outputs and its cause of
// death. Nothing else does. Owned by the dispatcher.
class JobAggregator {
 public:
  explicit JobAggregator(DispatcherState& state) : state_(state) {}

  // Moves the job to the state that its tasks are in. Call it after every change of a task. Returns
  // the sequence number of the event; nullopt: the job is in that state already. A job of which a
  // task has failed for good stays as it is until it is buried.
  std::optional<int64_t> Follow(Draft& draft, JobEntry& entry);

  // Takes a worker's report of a task's progress, and announces the job's if that changed. The
  // percents that clients see never fall, although a second attempt begins at 0 again.
  void ShowProgress(Draft& draft, TaskEntry& task, Progress progress);
  // Computes the job's progress anew, after a task of it was done.
  void Show(Draft& draft, JobEntry& entry);
  // Drops the phase and speed of a task that no longer runs.
  void EndPace(TaskEntry& task);
  // Returns the progress to keep of a job that ended without outputs.
  Progress LastProgress(const JobEntry& entry) const;

  // Asks for the outputs to be moved to their final place. REQUIRES: all tasks are done.
  void Publish(Draft& draft, JobEntry& entry);
  // The fence under which they are published. REQUIRES: all tasks are done.
  Fence FenceOf(const JobEntry& entry) const;
  // Collects the files and warnings of the job from its tasks' manifests.
  void TakeOutputs(JobEntry& entry);

  // The part of a job that only memory has.
  LiveJob LiveOf(const JobEntry& entry) const;
  // The job as clients see it.
  nlohmann::json ViewOf(const JobEntry& entry) const { return JobView(entry.job, LiveOf(entry)); }

 private:
  DispatcherState& state_;
};

}  // namespace millrace::broker
