#include <algorithm>
#include <utility>

#include "broker/dispatcher/impl.h"
#include "broker/dispatcher/report.h"

// What the dispatcher looks like from outside.

namespace millrace::broker {
namespace {

double SecondsSince(WallTime time, WallTime now) {
  return std::max(0.0, std::chrono::duration<double>(now - time).count());
}

double SecondsUntil(MonotonicTime time, Now now) {
  return std::max(0.0, std::chrono::duration<double>(time - now.monotonic).count());
}

nlohmann::json BreakerJson(const WorkerBreakers::View& breaker, Now now) {
  const auto wait = breaker.half_open_at ? nlohmann::json(SecondsUntil(*breaker.half_open_at, now))
                                         : nlohmann::json();
  return {{"state", NameOf(breaker.state)},
          {"failures", breaker.failures},
          {"half_open_in_seconds", wait}};
}

std::string_view StateOf(const RegisteredWorker& worker) {
  if (worker.gone_since) return "unreachable";
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

const Job* Dispatcher::Impl::FindByKey(const std::string& key) const {
  const JobEntry* entry = jobs_.FindByKey(key);
  return entry == nullptr ? nullptr : &entry->job;
}

bool Dispatcher::Impl::OwnsWork(const std::string& task_id, Fence fence) const {
  const TaskEntry* task = jobs_.FindTask(task_id);
  if (task == nullptr) return false;
  const bool current = task->record.fence == fence;
  if (current && (task->lease || task->record.state == TaskState::kDone)) return true;
  const Attempt* attempt = FindAttempt(*task->job, fence);
  return attempt != nullptr && KeepsFolder(*attempt);
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
    if (task.record.due_at) {
      live.retry_at = task.record.due_at;
      if (spike_.paused()) live.retry_at = std::max(*live.retry_at, retries_paused_until_);
    }
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
          {"draining", draining_},
          {"retries_paused", spike_.paused()},
          {"retries_paused_seconds", spike_.paused() ? SecondsUntil(spike_.until(), now) : 0.0},
          {"free_bytes", free_bytes_ ? nlohmann::json(*free_bytes_) : nlohmann::json()},
          {"reserved_bytes", jobs_.reserved_bytes()}};
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
                     {"breaker", BreakerJson(breakers_.ViewOf(name), now)},
                     {"tasks", TasksOf(worker)}});
  }
  return {{"workers", std::move(views)}};
}

}  // namespace millrace::broker
