#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/clock.h"
#include "core/job.h"
#include "core/task.h"

namespace millrace {

// What the ledger keeps of a task.
struct TaskRecord {
  std::string id;
  std::string job_id;
  TaskState state = TaskState::kQueued;
  Fence fence = 0;                           // of the current lease, or of the last one
  int attempts_spent = 0;                    // attempts that count against the job's max_attempts
  int infrastructure_failures = 0;           // attempts that ended without blame on the task
  std::vector<std::string> crashed_workers;  // names, in order, repeats kept
  std::string last_worker;                   // of the current lease, or of the last one
  std::optional<WallTime> due_at;            // set in kRetryWait
  nlohmann::json manifest;                   // null, or of the attempt that finished (kDone)
  nlohmann::json failure;                    // null, or of the last attempt that failed
};

// One row of the event log. Sequence numbers have no gaps and no repeats.
struct EventRecord {
  int64_t sequence = 0;
  std::string job_id;
  int generation = 1;
  JobEvent event{};
  JobState state{};  // after the event
  WallTime at{};
};

// A change of what is true. Puts replace the row of that id; of a job, everything but its request
// and input_facts, which InsertJob alone writes.
struct InsertJob {
  Job job;
};
struct PutJob {
  Job job;
};
struct PutTask {
  TaskRecord task;
};
struct PutAttempt {
  Attempt attempt;
};
struct AppendEvent {
  EventRecord event;
};
using LedgerChange = std::variant<InsertJob, PutJob, PutTask, PutAttempt, AppendEvent>;

// Everything that has not ended, as the ledger has it: what a broker starts from.
struct Snapshot {
  std::vector<Job> jobs;          // not in a terminal state, oldest first
  std::vector<TaskRecord> tasks;  // of these jobs
  std::vector<Attempt> attempts;  // of these jobs' current generation, by fence
  Fence last_fence = 0;           // the largest that was ever given out
  int64_t last_sequence = 0;      // of the event log
};

struct JobFilter {
  std::vector<JobState> states;  // empty: all
  std::vector<std::pair<std::string, std::string>> labels;
  std::string external_id;  // empty: any
  std::optional<WallTime> created_after;
  std::optional<WallTime> created_before;
  bool newest_first = true;
  int page_size = 50;
  std::string page_token;  // empty: the first page
};

struct JobPage {
  std::vector<Job> jobs;
  std::string next_page_token;  // empty: this is the last page
};

}  // namespace millrace
