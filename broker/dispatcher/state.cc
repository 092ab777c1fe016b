#include "broker/dispatcher/state.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>

namespace millrace::broker {
namespace {

// Groups the tasks or attempts of a snapshot by `key`, keeping their order.
template <typename Record, typename Key>
auto GroupBy(std::vector<Record> records, Key key) {
  std::unordered_map<std::string, std::vector<Record>> groups;
  for (Record& record : records) {
    std::vector<Record>& group = groups[key(record)];
    group.push_back(std::move(record));
  }
  return groups;
}

RetryClass RetryClassOf(const Attempt& failed) {
  if (!failed.failure.is_object()) return RetryClass::kUnknown;
  return ErrorFromJson(failed.failure.value("error", nlohmann::json::object())).traits().retry;
}

// After a crash, insists on a different worker, even a busy one, to tell bad input from a bad
// worker. Any other task merely prefers a different one (WorkerRegistry::Pick).
std::string WorkerToAvoid(const TaskEntry& task) {
  const std::vector<Attempt>& attempts = task.job->attempts;
  const auto last = std::find_if(attempts.rbegin(), attempts.rend(), [&](const Attempt& attempt) {
    return attempt.task_id == task.record.id;
  });
  if (last == attempts.rend() || last->outcome != "failed") return "";
  return RetryClassOf(*last) == RetryClass::kCrash ? last->worker : "";
}

}  // namespace

DispatcherState::DispatcherState(const DispatcherOptions& options, Snapshot snapshot, Now now)
    : drain_rate(now.monotonic),
      poison(snapshot.poison),
      breakers(options.breaker),
      spike(options.spike),
      last_fence(snapshot.last_fence),
      last_sequence(snapshot.last_sequence) {
  for (RedriveRecord& redrive : snapshot.redrives) {
    std::string id = redrive.id;
    redrives.emplace(std::move(id), std::move(redrive));
  }
  RestoreJobs(std::move(snapshot), options, now);
}

void DispatcherState::RestoreJobs(Snapshot snapshot, const DispatcherOptions& options, Now now) {
  auto tasks =
      GroupBy(std::move(snapshot.tasks), [](const TaskRecord& task) { return task.job_id; });
  auto attempts =
      GroupBy(std::move(snapshot.attempts), [](const Attempt& attempt) { return attempt.task_id; });
  for (Job& job : snapshot.jobs) {
    std::vector<TaskRecord> own_tasks = std::move(tasks[job.id]);
    std::vector<Attempt> own_attempts;
    for (const TaskRecord& task : own_tasks) {
      std::ranges::move(attempts[task.id], std::back_inserter(own_attempts));
    }
    std::ranges::sort(own_attempts, {}, &Attempt::fence);
    JobEntry& entry = jobs.Add(std::move(job), std::move(own_tasks), std::move(own_attempts));
    const auto shown = snapshot.shown_percents.find(entry.job.id);
    if (shown != snapshot.shown_percents.end()) {
      entry.progress.percent = std::clamp(shown->second, 0, 99);
    }
    for (TaskEntry& task : entry.tasks) RestoreTask(task, options, now);
  }
}

void DispatcherState::RestoreTask(TaskEntry& task, const DispatcherOptions& options, Now now) {
  switch (task.record.state) {
    case TaskState::kQueued:
      Enqueue(task);
      break;
    case TaskState::kRetryWait: {
      // Bounded, as the wall clock may have been stepped while the broker was away.
      const auto wait = task.record.due_at.value_or(now.wall) - now.wall;
      jobs.SetDeadline(task,
                       now.monotonic + std::clamp<std::chrono::microseconds>(
                                           wait, std::chrono::microseconds(0), options.retry_cap));
      break;
    }
    case TaskState::kLeased:
    case TaskState::kCancelling:
      // Taken as acknowledged: if the assignment never arrived, the grace period ends the lease.
      task.lease = Lease{.instance = "", .acknowledged = true};
      jobs.SetDeadline(task, now.monotonic + options.lease);
      break;
    case TaskState::kBlocked:
    case TaskState::kDone:
    case TaskState::kFailed:
    case TaskState::kCancelled:
      break;
  }
}

Fleet DispatcherState::fleet() const {
  Fleet fleet;
  for (const auto& [name, worker] : workers.by_name()) {
    if (worker.draining || worker.gone_since) continue;
    ++fleet.workers;
    fleet.slots += worker.slots;
  }
  return fleet;
}

void DispatcherState::Enqueue(TaskEntry& task) {
  queue.Add(task.place(), {.needs = task.needs, .avoid = WorkerToAvoid(task)}, &task);
}

}  // namespace millrace::broker
