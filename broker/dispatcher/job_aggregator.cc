#include "broker/dispatcher/job_aggregator.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>

namespace millrace::broker {
namespace {

// The state of a job: that of the first row whose task state one of its tasks is in. If none is,
// all tasks are done.
struct StateRow {
  TaskState task;
  JobState job;
};
constexpr auto kStates = std::to_array<StateRow>({
    {TaskState::kCancelling, JobState::kCancelling},
    {TaskState::kCancelled, JobState::kCancelled},
    {TaskState::kLeased, JobState::kRunning},
    {TaskState::kQueued, JobState::kQueued},
    {TaskState::kRetryWait, JobState::kRetryWait},
});

bool HasTaskIn(const JobEntry& entry, TaskState state) {
  return std::ranges::any_of(entry.tasks,
                             [&](const TaskEntry& task) { return task.record.state == state; });
}

JobState StateOf(const JobEntry& entry) {
  for (const StateRow& row : kStates) {
    if (HasTaskIn(entry, row.task)) return row.job;
  }
  return JobState::kPublishing;
}

// Returns the event that leads from one state of a job to another; there is at most one.
JobEvent EventBetween(JobState from, JobState to) {
  static constexpr auto kEvents = std::to_array<JobEvent>(
      {JobEvent::kStart, JobEvent::kRequeue, JobEvent::kRetry, JobEvent::kDue, JobEvent::kPublish,
       JobEvent::kRedo, JobEvent::kCancel, JobEvent::kStopped});
  for (const JobEvent event : kEvents) {
    if (NextState(from, event) == to) return event;
  }
  throw std::logic_error("no event leads a job from " + std::string(NameOf(from)) + " to " +
                         std::string(NameOf(to)));
}

// Returns the part of progress that stays true when nothing runs.
Progress PercentsOf(const Progress& progress) {
  return {.percent = progress.percent, .outputs = progress.outputs};
}

int PercentOf(const TaskEntry& task) {
  return task.record.state == TaskState::kDone ? 100 : task.progress.percent;
}

// Adds the tasks' progress up: the mean of their percents, the sum of their speeds.
Progress Sum(const std::vector<TaskEntry>& tasks) {
  Progress sum;
  for (const TaskEntry& task : tasks) {
    const Progress& one = task.progress;
    sum.percent += PercentOf(task);
    if (sum.phase.empty()) sum.phase = one.phase;
    sum.frames += one.frames;
    sum.fps += one.fps;
    sum.speed += one.speed;
    sum.media_seconds += one.media_seconds;
    // The job is done when the last task is.
    sum.eta_seconds = std::max(sum.eta_seconds, one.eta_seconds);
    sum.outputs.insert(sum.outputs.end(), one.outputs.begin(), one.outputs.end());
  }
  sum.percent /= std::max(1, static_cast<int>(tasks.size()));
  return sum;
}

// Raises the percents of `progress` to those that clients have seen.
Progress NeverLessThan(const Progress& shown, Progress progress) {
  progress.percent = std::max(shown.percent, std::min(progress.percent, 99));
  for (auto& [name, percent] : progress.outputs) {
    for (const auto& [shown_name, shown_percent] : shown.outputs) {
      if (shown_name == name) percent = std::max(percent, shown_percent);
    }
  }
  return progress;
}

}  // namespace

std::optional<int64_t> JobAggregator::Follow(Draft& draft, JobEntry& entry) {
  if (FailedTask(entry) != nullptr) return std::nullopt;
  const JobState state = StateOf(entry);
  if (state == entry.job.state) return std::nullopt;
  return draft.Advance(entry, EventBetween(entry.job.state, state));
}

void JobAggregator::ShowProgress(Draft& draft, TaskEntry& task, Progress progress) {
  JobEntry& entry = *task.job;
  task.progress = std::move(progress);
  Progress shown = NeverLessThan(entry.progress, Sum(entry.tasks));
  const bool changed =
      shown.percent != entry.progress.percent || shown.phase != entry.progress.phase;
  entry.progress = std::move(shown);
  if (!changed) return;
  draft.Announce(message::ProgressEvent{.job = entry.job.id,
                                        .generation = entry.job.generation,
                                        .percent = entry.progress.percent,
                                        .phase = entry.progress.phase});
}

void JobAggregator::EndPace(TaskEntry& task) {
  JobEntry& entry = *task.job;
  task.progress = PercentsOf(task.progress);
  Progress pace = Sum(entry.tasks);
  pace.percent = entry.progress.percent;
  pace.outputs = std::move(entry.progress.outputs);
  entry.progress = std::move(pace);
}

Progress JobAggregator::LastProgress(const JobEntry& entry) const {
  return PercentsOf(entry.progress);
}

void JobAggregator::Publish(Draft& draft, JobEntry& entry) {
  TaskEntry& task = entry.tasks.front();  // PlanTasks makes one
  state_.jobs.SetDeadline(task, std::nullopt);
  draft.Add(PublishOutputs{.task_id = task.record.id,
                           .job_id = entry.job.id,
                           .fence = task.record.fence,
                           .manifest = ManifestFromJson(task.record.manifest)});
}

void JobAggregator::TakeOutputs(JobEntry& entry, Fence published) {
  entry.job.files.clear();
  entry.job.warnings.clear();
  for (const TaskEntry& task : entry.tasks) {
    Manifest manifest = ManifestFromJson(task.record.manifest);
    std::ranges::move(manifest.files, std::back_inserter(entry.job.files));
    std::ranges::move(manifest.warnings, std::back_inserter(entry.job.warnings));
  }
  entry.job.published_fence = published;
}

TaskEntry* JobAggregator::FailedTask(JobEntry& entry) const {
  const auto failed = std::ranges::find(entry.tasks, TaskState::kFailed,
                                        [](const TaskEntry& task) { return task.record.state; });
  return failed == entry.tasks.end() ? nullptr : &*failed;
}

LiveJob JobAggregator::LiveOf(const JobEntry& entry) const {
  LiveJob live;
  live.progress = entry.progress;
  if (!entry.attempts.empty()) live.attempt = entry.attempts.back().number;
  for (const TaskEntry& task : entry.tasks) {
    if (task.lease) live.worker = task.record.last_worker;
    if (task.record.due_at) {
      live.retry_at = task.record.due_at;
      if (state_.spike.paused()) {
        live.retry_at = std::max(*live.retry_at, state_.retries_paused_until);
      }
    }
    if (const int64_t position = state_.queue.PositionOf(task.place()); position > 0) {
      live.queue_position = std::min(position, live.queue_position.value_or(position));
    }
  }
  return live;
}

}  // namespace millrace::broker
