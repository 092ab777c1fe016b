#include "broker/dispatcher/views.h"

#include <algorithm>
#include <string_view>
#include <utility>

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
                     {"percent", task->progress.percent}});
  }
  return tasks;
}

}  // namespace

nlohmann::json QueueView(const DispatcherState& state, Now now) {
  int slots = 0;
  size_t busy = 0;
  for (const auto& [name, worker] : state.workers.by_name()) {
    slots += worker.slots;
    busy += worker.leases.size();
  }
  const TaskEntry* oldest = state.queue.Oldest();
  return {{"queued", state.jobs.CountOf(JobState::kQueued)},
          {"retry_wait", state.jobs.CountOf(JobState::kRetryWait)},
          {"running",
           state.jobs.CountOf(JobState::kRunning) + state.jobs.CountOf(JobState::kCancelling)},
          {"publishing", state.jobs.CountOf(JobState::kPublishing)},
          {"oldest_age_seconds",
           oldest == nullptr ? 0.0 : SecondsSince(oldest->job->job.created_at, now.wall)},
          {"drain_per_minute", state.drain_rate.PerMinute(now.monotonic)},
          {"slots", slots},
          {"busy_slots", busy},
          {"workers", state.workers.by_name().size()},
          {"draining", state.draining},
          {"retries_paused", state.spike.paused()},
          {"retries_paused_seconds",
           state.spike.paused() ? SecondsUntil(state.spike.until(), now) : 0.0},
          {"free_bytes", state.free_bytes ? nlohmann::json(*state.free_bytes) : nlohmann::json()},
          {"reserved_bytes", state.jobs.reserved_bytes()}};
}

nlohmann::json WorkersView(const DispatcherState& state, Now now) {
  nlohmann::json views = nlohmann::json::array();
  for (const auto& [name, worker] : state.workers.by_name()) {
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
                     {"breaker", BreakerJson(state.breakers.ViewOf(name), now)},
                     {"tasks", TasksOf(worker)}});
  }
  return {{"workers", std::move(views)}};
}

}  // namespace millrace::broker
