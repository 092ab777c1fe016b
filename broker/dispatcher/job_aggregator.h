#pragma once

#include <optional>

#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/state.h"
#include "core/base/error.h"
#include "core/model/job.h"

namespace millrace::broker {

// Makes a job of its tasks: its state, its progress, its outputs and its cause of death are
// computed from all of them, here and nowhere else. Owned by the dispatcher.
class JobAggregator {
 public:
  explicit JobAggregator(DispatcherState& state) : state_(state) {}

  // Brings the job to the state that its tasks are in, and records the event if that is another
  // one. Call it after every change of a task. Returns the sequence number of the event; nullopt:
  // there was none. A job of which a task has failed for good stays as it is until it is buried.
  std::optional<int64_t> Follow(Draft& draft, JobEntry& entry);

  // Takes what a worker says of the progress of a task, and announces the job's if that changed.
  // The percents that clients see never fall: a second attempt begins at 0 again.
  void ShowProgress(Draft& draft, TaskEntry& task, Progress progress);
  // Takes the phase and speed of a task that no longer runs out of the job's.
  void EndPace(TaskEntry& task);
  // What stays of the progress of a job that has ended without outputs.
  Progress LastProgress(const JobEntry& entry) const;

  // Has the outputs moved to their final place. REQUIRES: all tasks are done.
  void Publish(Draft& draft, JobEntry& entry);
  // Makes what the tasks' manifests list the files and warnings of the job.
  void TakeOutputs(JobEntry& entry, Fence published);

  // The first task that failed for good; nullptr if none has.
  TaskEntry* FailedTask(JobEntry& entry) const;

  // The part of a job that only memory has.
  LiveJob LiveOf(const JobEntry& entry) const;
  // The job as clients see it.
  nlohmann::json ViewOf(const JobEntry& entry) const { return JobView(entry.job, LiveOf(entry)); }

 private:
  DispatcherState& state_;
};

}  // namespace millrace::broker
