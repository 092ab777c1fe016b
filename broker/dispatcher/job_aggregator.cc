#include "broker/dispatcher/job_aggregator.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <stdexcept>
#include <string>
#include <utility>

namespace millrace::broker {
namespace {

std::vector<TaskState> StatesOf(const JobEntry& entry) {
  std::vector<TaskState> states;
  states.reserve(entry.tasks.size());
  for (const TaskEntry& task : entry.tasks) states.push_back(task.record.state);
  return states;
}

// Returns the reason that a job waits: the failure of its first waiting task.
nlohmann::json ErrorOfWaiting(const JobEntry& entry) {
  const auto waiting = std::ranges::find(entry.tasks, TaskState::kRetryWait,
                                         [](const TaskEntry& task) { return task.record.state; });
  const bool known = waiting != entry.tasks.end() && waiting->record.failure.is_object();
  return known ? waiting->record.failure.at("error") : nlohmann::json();
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

// Returns true if a task that is done made any files.
bool HasFiles(const TaskEntry& task) {
  const nlohmann::json& manifest = task.record.manifest;
  return manifest.is_object() && !manifest.at("files").empty();
}

// Returns the part of progress that stays true when nothing runs.
Progress PercentsOf(const Progress& progress) {
  return {.percent = progress.percent, .outputs = progress.outputs};
}

// Counts a finished task in full, whatever it reported last.
Progress ProgressOf(const TaskEntry& task) {
  if (task.record.state != TaskState::kDone) return task.progress;
  Progress done = task.progress;
  done.percent = 100;
  done.outputs.clear();
  for (const OutputSpec& output : SpecOf(task).outputs) done.outputs.emplace_back(output.name, 100);
  return done;
}

// Sums the progress of the tasks: the mean of their percentages, weighted by predicted cost, and
// the total of what they do concurrently.
Progress Sum(const std::vector<TaskEntry>& tasks) {
  Progress sum;
  double percent = 0;
  double weights = 0;
  for (const TaskEntry& task : tasks) {
    Progress one = ProgressOf(task);
    percent += task.weight * one.percent;
    weights += task.weight;
    if (sum.phase.empty()) sum.phase = one.phase;
    sum.frames += one.frames;
    sum.fps += one.fps;
    sum.media_seconds = std::max(sum.media_seconds, one.media_seconds);
    // The slowest task decides when the job ends.
    if (one.speed > 0) sum.speed = sum.speed > 0 ? std::min(sum.speed, one.speed) : one.speed;
    sum.eta_seconds = std::max(sum.eta_seconds, one.eta_seconds);
    std::ranges::move(one.outputs, std::back_inserter(sum.outputs));
  }
  // Round down, but allow for floating-point error.
  sum.percent = static_cast<int>(percent / weights + 1e-9);
  return sum;
}

// Raises the percentages of `progress` to those already shown to clients.
Progress NeverLessThan(const Progress& shown, Progress progress) {
  progress.percent = std::max(shown.percent, std::min(progress.percent, 99));
  for (const auto& [name, percent] : shown.outputs) {
    const auto same =
        std::ranges::find(progress.outputs, name, &std::pair<std::string, int>::first);
    if (same == progress.outputs.end()) {
      progress.outputs.emplace_back(name, percent);
    } else {
      same->second = std::max(same->second, percent);
    }
  }
  return progress;
}

}  // namespace

std::optional<int64_t> JobAggregator::Follow(Draft& draft, JobEntry& entry) {
  const std::optional<JobState> state = JobStateOf(StatesOf(entry));
  if (!state || *state == entry.job.state) return std::nullopt;
  if (*state == JobState::kRetryWait) entry.job.error = ErrorOfWaiting(entry);
  return draft.Advance(entry, EventBetween(entry.job.state, *state));
}

void JobAggregator::ShowProgress(Draft& draft, TaskEntry& task, Progress progress) {
  task.progress = std::move(progress);
  Show(draft, *task.job);
}

void JobAggregator::Show(Draft& draft, JobEntry& entry) {
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
  PublishOutputs publish{.job_id = entry.job.id, .made = {}};
  for (TaskEntry& task : entry.tasks) {
    state_.jobs.SetDeadline(task, std::nullopt);
    if (!HasFiles(task)) continue;
    publish.made.push_back({.task = task.record.id,
                            .fence = task.record.fence,
                            .manifest = ManifestFromJson(task.record.manifest)});
  }
  draft.Add(std::move(publish));
}

Fence JobAggregator::FenceOf(const JobEntry& entry) const {
  Fence fence = 0;
  for (const TaskEntry& task : entry.tasks) {
    if (HasFiles(task)) fence = std::max(fence, task.record.fence);
  }
  return fence;
}

void JobAggregator::TakeOutputs(JobEntry& entry) {
  Job& job = entry.job;
  job.files.clear();
  job.warnings.clear();
  for (const TaskEntry& task : entry.tasks) {
    Manifest manifest = ManifestFromJson(task.record.manifest);
    std::ranges::move(manifest.files, std::back_inserter(job.files));
    for (Warning& warning : manifest.warnings) {
      // Every task that reads the input gives the same warning.
      const bool known = std::ranges::find(job.warnings, warning) != job.warnings.end();
      if (!known) job.warnings.push_back(std::move(warning));
    }
  }
  job.published_fence = FenceOf(entry);
}

LiveJob JobAggregator::LiveOf(const JobEntry& entry) const {
  LiveJob live;
  live.progress = entry.progress;
  for (const Attempt& attempt : entry.attempts) {
    live.attempt = std::max(live.attempt, attempt.number);
  }
  for (const TaskEntry& task : entry.tasks) {
    if (task.lease && live.worker.empty()) live.worker = task.record.last_worker;
    if (task.record.due_at) {
      live.retry_at = std::min(*task.record.due_at, live.retry_at.value_or(WallTime::max()));
      if (state_.spike.paused()) {
        live.retry_at = std::max(*live.retry_at, state_.retries_paused_until);
      }
    }
    if (const int64_t position = state_.queue.PositionOf(task.place()); position > 0) {
      live.queue_position = std::min(position, live.queue_position.value_or(position));
    }
  }
  if (entry.job.state == JobState::kRunning) {
    // Some of its tasks may wait, but the job does not.
    live.retry_at.reset();
    live.queue_position.reset();
  }
  return live;
}

}  // namespace millrace::broker
