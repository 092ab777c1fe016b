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
#include "core/base/clock.h"

namespace millrace::broker {

struct JobEntry;

// Who has a task now.
struct Lease {
  std::string instance;       // empty: not claimed since the broker was restarted
  bool acknowledged = false;  // the worker is known to have the assignment
};

// A task in memory: its record, and what is not worth a disk write.
struct TaskEntry {
  TaskRecord record;
  JobEntry* job = nullptr;
  uint64_t order = 0;  // of submission
  EncoderSet needs;
  std::optional<Lease> lease;             // in kLeased and kCancelling
  Progress progress;                      // of the current attempt, or of the last one
  std::optional<MonotonicTime> deadline;  // set through JobTable::SetDeadline
  int effect_failures = 0;                // tries to publish or bury that failed in a row
  bool changed = false;                   // since the last commit

  // REQUIRES: `job` is set.
  Place place() const;
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

// What has to be done for a job, in tasks. The plan has one task, which makes all outputs.
std::vector<TaskRecord> PlanTasks(const Job& job);

// The attempt of that fence; nullptr if the task's job has none.
Attempt* FindAttempt(JobEntry& entry, Fence fence);

// The jobs in memory, by id and idempotency key, with their tasks, counts by state, what their
// outputs will take, and when each task needs attention.
// Owned by the dispatcher. Pointers stay valid until Take()'s result is gone.
class JobTable {
 public:
  // REQUIRES: no job of that id is there.
  JobEntry& Add(Job job, std::vector<TaskRecord> tasks, std::vector<Attempt> attempts);
  // Takes the job out; it must be there.
  std::unique_ptr<JobEntry> Take(const std::string& job_id);

  JobEntry* Find(const std::string& job_id) const;
  JobEntry* FindByKey(const std::string& idempotency_key) const;
  TaskEntry* FindTask(const std::string& task_id) const;

  // Oldest first. `visit` may change jobs, not add or take any.
  void ForEach(const std::function<void(JobEntry&)>& visit);

  void SetState(JobEntry& entry, JobState state);
  size_t CountOf(JobState state) const { return counts_[static_cast<size_t>(state)]; }

  // Of all jobs together.
  int64_t reserved_bytes() const { return reserved_bytes_; }

  // A task has one deadline at a time: its state says for what.
  void SetDeadline(TaskEntry& task, std::optional<MonotonicTime> deadline);
  std::optional<MonotonicTime> NextDeadline() const;
  // Those whose deadline has come, earliest first.
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
