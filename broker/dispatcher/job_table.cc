#include "broker/dispatcher/job_table.h"

#include <algorithm>
#include <utility>

#include "broker/dispatcher/size_prediction.h"
#include "broker/planner/cost_model.h"
#include "core/base/id.h"

namespace millrace::broker {

Place TaskEntry::place() const { return {.priority = job->job.request.priority, .order = order}; }

std::vector<TaskRecord> MakeTasks(const Job& job, const std::vector<PlannedTask>& plan) {
  std::vector<TaskRecord> tasks(plan.size());
  for (TaskRecord& task : tasks) task.id = NewTaskId();
  for (size_t i = 0; i < plan.size(); ++i) {
    tasks[i].job_id = job.id;
    tasks[i].generation = job.generation;
    tasks[i].kind = plan[i].kind;
    tasks[i].spec = plan[i].spec;
    for (const size_t other : plan[i].dependencies) {
      tasks[i].dependencies.push_back(tasks[other].id);
    }
  }
  return tasks;
}

const EncodeSpec& SpecOf(const TaskEntry& task) {
  return task.record.spec ? *task.record.spec : task.job->job.request.spec;
}

bool IsReady(const TaskEntry& task) {
  return std::ranges::all_of(task.record.dependencies, [&](const std::string& id) {
    return std::ranges::any_of(task.job->tasks, [&](const TaskEntry& other) {
      return other.record.id == id && other.record.state == TaskState::kDone;
    });
  });
}

const TaskEntry* FailedTask(const JobEntry& entry) {
  const auto failed = std::ranges::find(entry.tasks, TaskState::kFailed,
                                        [](const TaskEntry& task) { return task.record.state; });
  return failed == entry.tasks.end() ? nullptr : &*failed;
}

Attempt* FindAttempt(JobEntry& entry, Fence fence) {
  // Newest first: callers nearly always ask for the last one.
  const auto found = std::find_if(entry.attempts.rbegin(), entry.attempts.rend(),
                                  [&](const Attempt& attempt) { return attempt.fence == fence; });
  return found == entry.attempts.rend() ? nullptr : &*found;
}

JobEntry& JobTable::Add(Job job, std::vector<TaskRecord> tasks, std::vector<Attempt> attempts) {
  auto owned = std::make_unique<JobEntry>();
  JobEntry& entry = *owned;
  entry.job = std::move(job);
  entry.attempts = std::move(attempts);
  entry.tasks.resize(tasks.size());
  const std::optional<InputSize> input = tasks.size() > 1 ? InputSizeOf(entry.job) : std::nullopt;
  for (size_t i = 0; i < tasks.size(); ++i) {
    TaskEntry& task = entry.tasks[i];
    task.record = std::move(tasks[i]);
    task.job = &entry;
    task.order = ++last_order_;
    task.needs = EncoderSet::NeededFor(SpecOf(task));
    if (input) task.weight = PredictSeconds(SpecOf(task).outputs, *input);
    tasks_[task.record.id] = &task;
  }
  entry.reserved_bytes = PredictOutputBytes(entry.job);
  reserved_bytes_ += entry.reserved_bytes;
  if (!entry.job.idempotency_key.empty()) keys_[entry.job.idempotency_key] = &entry;
  ++counts_[static_cast<size_t>(entry.job.state)];
  jobs_.emplace(entry.job.id, std::move(owned));
  return entry;
}

std::unique_ptr<JobEntry> JobTable::Take(const std::string& job_id) {
  const auto found = jobs_.find(job_id);
  std::unique_ptr<JobEntry> entry = std::move(found->second);
  jobs_.erase(found);
  for (TaskEntry& task : entry->tasks) {
    SetDeadline(task, std::nullopt);
    tasks_.erase(task.record.id);
  }
  if (!entry->job.idempotency_key.empty()) keys_.erase(entry->job.idempotency_key);
  reserved_bytes_ -= entry->reserved_bytes;
  --counts_[static_cast<size_t>(entry->job.state)];
  return entry;
}

JobEntry* JobTable::Find(const std::string& job_id) const {
  const auto found = jobs_.find(job_id);
  return found == jobs_.end() ? nullptr : found->second.get();
}

JobEntry* JobTable::FindByKey(const std::string& idempotency_key) const {
  const auto found = keys_.find(idempotency_key);
  return found == keys_.end() ? nullptr : found->second;
}

TaskEntry* JobTable::FindTask(const std::string& task_id) const {
  const auto found = tasks_.find(task_id);
  return found == tasks_.end() ? nullptr : found->second;
}

void JobTable::ForEach(const std::function<void(JobEntry&)>& visit) {
  std::vector<JobEntry*> entries;
  entries.reserve(jobs_.size());
  for (const auto& [id, entry] : jobs_) entries.push_back(entry.get());
  std::ranges::sort(entries, {}, [](const JobEntry* entry) {
    return entry->tasks.empty() ? 0 : entry->tasks.front().order;
  });
  for (JobEntry* entry : entries) visit(*entry);
}

void JobTable::SetState(JobEntry& entry, JobState state) {
  --counts_[static_cast<size_t>(entry.job.state)];
  entry.job.state = state;
  ++counts_[static_cast<size_t>(state)];
}

void JobTable::SetDeadline(TaskEntry& task, std::optional<MonotonicTime> deadline) {
  if (task.deadline) deadlines_.erase({*task.deadline, task.order, &task});
  task.deadline = deadline;
  if (deadline) deadlines_.emplace(*deadline, task.order, &task);
}

std::optional<MonotonicTime> JobTable::NextDeadline() const {
  if (deadlines_.empty()) return std::nullopt;
  return std::get<MonotonicTime>(*deadlines_.begin());
}

std::vector<TaskEntry*> JobTable::Due(MonotonicTime now) const {
  std::vector<TaskEntry*> due;
  for (const auto& [deadline, order, task] : deadlines_) {
    if (deadline > now) break;
    due.push_back(task);
  }
  return due;
}

}  // namespace millrace::broker
