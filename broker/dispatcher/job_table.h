#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <tuple>
#include <unordered_map>
#include <vector>

#include "broker/dispatcher/encoders.h"
#include "broker/dispatcher/task_queue.h"
#include "broker/ledger/records.h"
#include "broker/planner/task_planner.h"
#include "core/base/clock.h"
#include "core/model/messages/worker.h"

namespace millrace::broker {

struct JobEntry;

// A worker's current hold on a task.
struct Lease {
  std::string instance;       // empty: not claimed since the broker was restarted
  bool acknowledged = false;  // the worker is known to have the assignment
};

// A task in memory: its record, and the state that is not worth a disk write.
struct TaskEntry {
  TaskRecord record;
  JobEntry* job = nullptr;
  uint64_t order = 0;  // of submission
  EncoderSet needs;
  double weight = 1;                      // how long it takes, against the other tasks of its job
  std::optional<Lease> lease;             // in kLeased and kCancelling
  Progress progress;                      // of the current attempt, or of the last one
  std::optional<MonotonicTime> deadline;  // set through JobTable::SetDeadline
  int effect_failures = 0;                // tries to publish or bury that failed in a row
  bool changed = false;                   // since the last commit

  // REQUIRES: `job` is set.
  Place place() const;
  // The current lease, or the last one, as messages name it.
  message::LeaseName lease_name() const { return {.task = record.id, .fence = record.fence}; }
};

// A job that has not ended. Its tasks are made with it and never move.
struct JobEntry {
  Job job;
  std::vector<TaskEntry> tasks;
  std::vector<Attempt> attempts;  // of this generation, by fence
  Progress progress;              // as shown to clients: its percents never fall
  int64_t reserved_bytes = 0;     // of the disk, for its outputs
  bool inserted = false;          // since the last commit
  bool changed = false;           // since the last commit
};

// The records of a job's new tasks, in the order of the plan.
std::vector<TaskRecord> MakeTasks(const Job& job, const std::vector<PlannedTask>& plan);

// Returns the spec of the outputs that the task makes.
const EncodeSpec& SpecOf(const TaskEntry& task);
// True if every task that it depends on is done.
bool IsReady(const TaskEntry& task);
// The task that failed for good; nullptr if none has.
const TaskEntry* FailedTask(const JobEntry& entry);

// Returns the attempt of that fence; nullptr if the job has none.
Attempt* FindAttempt(JobEntry& entry, Fence fence);

// The jobs in memory, by id and idempotency key, with their tasks and the deadlines of these. Keeps
// counts by state, and the sum of the disk space reserved for outputs. Owned by the dispatcher.
// Pointers stay valid until Take()'s result is gone.
class JobTable {
 public:
  // REQUIRES: no job of that id is there.
  JobEntry& Add(Job job, std::vector<TaskRecord> tasks, std::vector<Attempt> attempts);
  // Removes the job and returns it. REQUIRES: it is there.
  std::unique_ptr<JobEntry> Take(const std::string& job_id);

  JobEntry* Find(const std::string& job_id) const;
  JobEntry* FindByKey(const std::string& idempotency_key) const;
  TaskEntry* FindTask(const std::string& task_id) const;

  // Visits the oldest job first. `visit` may change jobs, not add or take any.
  void ForEach(const std::function<void(JobEntry&)>& visit);

  void SetState(JobEntry& entry, JobState state);
  size_t CountOf(JobState state) const { return counts_[static_cast<size_t>(state)]; }

  // Returns the disk space reserved for the outputs of all jobs.
  int64_t reserved_bytes() const { return reserved_bytes_; }

  // A task has one deadline at a time, whose purpose follows from its state.
  void SetDeadline(TaskEntry& task, std::optional<MonotonicTime> deadline);
  std::optional<MonotonicTime> NextDeadline() const;
  // Returns the tasks whose deadline has come, earliest first.
  std::vector<TaskEntry*> Due(MonotonicTime now) const;

 private:
  static constexpr size_t kStates = static_cast<size_t>(JobState::kDead) + 1;

  std::unordered_map<std::string, std::unique_ptr<JobEntry>> jobs_;
  std::unordered_map<std::string, JobEntry*> keys_;
  std::unordered_map<std::string, TaskEntry*> tasks_;
  std::set<std::tuple<MonotonicTime, uint64_t, TaskEntry*>> deadlines_;
  std::array<size_t, kStates> counts_{};
  uint64_t last_order_ = 0;
  int64_t reserved_bytes_ = 0;
};

}  // namespace millrace::broker
