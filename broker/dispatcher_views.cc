#include <algorithm>
#include <utility>

#include "broker/dispatcher_impl.h"

// What the dispatcher looks like from outside.

namespace millrace {
namespace {

double SecondsSince(WallTime time, WallTime now) {
  return std::max(0.0, std::chrono::duration<double>(now - time).count());
}

std::string_view StateOf(const RegisteredWorker& worker) {
  if (!worker.reachable) return "unreachable";
  if (worker.draining) return "draining";
  return worker.leases.empty() ? "idle" : "busy";
}

nlohmann::json TasksOf(const RegisteredWorker& worker) {
  nlohmann::json tasks = nlohmann::json::array();
  for (const TaskEntry* task : worker.leases) {
    tasks.push_back({{"task", task->record.id},
                     {"job", task->record.job_id},
                     {"fence", task->record.fence},
                     {"percent", task->job->progress.percent}});
  }
  return tasks;
}

}  // namespace

const Job* Dispatcher::Impl::Find(const std::string& job_id) const {
  const JobEntry* entry = jobs_.Find(job_id);
  return entry == nullptr ? nullptr : &entry->job;
}

LiveJob Dispatcher::Impl::Live(const std::string& job_id) const {
  const JobEntry* entry = jobs_.Find(job_id);
  return entry == nullptr ? LiveJob() : LiveOf(*entry);
}

LiveJob Dispatcher::Impl::LiveOf(const JobEntry& entry) const {
  LiveJob live;
  live.progress = entry.progress;
  if (!entry.attempts.empty()) live.attempt = entry.attempts.back().number;
  for (const TaskEntry& task : entry.tasks) {
    if (task.lease) live.worker = task.record.last_worker;
    if (task.record.due_at) live.retry_at = task.record.due_at;
    if (const int64_t position = queue_.PositionOf(task.place()); position > 0) {
      live.queue_position = std::min(position, live.queue_position.value_or(position));
    }
  }
  return live;
}

nlohmann::json Dispatcher::Impl::QueueView(Now now) const {
  int slots = 0;
  size_t busy = 0;
  for (const auto& [name, worker] : workers_.by_name()) {
    slots += worker.slots;
    busy += worker.leases.size();
  }
  const TaskEntry* oldest = queue_.Oldest();
  return {{"queued", jobs_.CountOf(JobState::kQueued)},
          {"retry_wait", jobs_.CountOf(JobState::kRetryWait)},
          {"running", jobs_.CountOf(JobState::kRunning) + jobs_.CountOf(JobState::kCancelling)},
          {"publishing", jobs_.CountOf(JobState::kPublishing)},
          {"oldest_age_seconds",
           oldest == nullptr ? 0.0 : SecondsSince(oldest->job->job.created_at, now.wall)},
          {"drain_per_minute", drain_rate_.PerMinute(now.monotonic)},
          {"slots", slots},
          {"busy_slots", busy},
          {"workers", workers_.by_name().size()},
          {"draining", draining_}};
}

nlohmann::json Dispatcher::Impl::WorkersView(Now now) const {
  nlohmann::json views = nlohmann::json::array();
  for (const auto& [name, worker] : workers_.by_name()) {
    const std::chrono::duration<double> silent = now.monotonic - worker.last_beat;
    views.push_back({{"name", name},
                     {"state", StateOf(worker)},
                     {"slots", worker.slots},
                     {"busy_slots", worker.leases.size()},
                     {"encoders", worker.encoder_names},
                     {"cores", worker.cores},
                     {"memory_bytes", worker.memory_bytes},
                     {"labels", worker.labels},
                     {"versions", worker.versions},
                     {"last_beat_seconds", silent.count()},
                     {"registered_at", FormatTime(worker.registered_at)},
                     {"tasks", TasksOf(worker)}});
  }
  return {{"workers", std::move(views)}};
}

}  // namespace millrace
