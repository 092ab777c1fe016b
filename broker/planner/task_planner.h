#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "core/model/job.h"
#include "core/model/task.h"

namespace millrace::broker {

struct PlannerOptions {
  // Estimated cost of one more task: starting its process, opening the input, syncing and moving
  // its files.
  std::chrono::milliseconds task_overhead{500};
};

// The capacity of the workers.
struct Fleet {
  int workers = 0;
  int slots = 0;  // of all workers together
};

// A task of a plan.
struct PlannedTask {
  TaskKind kind = TaskKind::kTranscode;
  std::optional<EncodeSpec> spec;    // nullopt: the job's whole spec
  std::vector<size_t> dependencies;  // positions in the plan

  bool operator==(const PlannedTask&) const = default;
};

// Plans the tasks of a job; each output is made by exactly one of them. A pure function of what is
// known when the job is accepted.
//
// Outputs that need a decoded picture share one decode, and so one task. Outputs that need only
// decoded sound, and those that only copy streams, get a task of their own if that ends the job
// earlier by at least four times the added cost: the overhead of a task, and the repeated reading
// and decoding (cost_model.h). So a short job stays one task, as does any job when the fleet has
// only one slot. The longest task comes first.
std::vector<PlannedTask> PlanTasks(const Job& job, const Fleet& fleet,
                                   const PlannerOptions& options);

}  // namespace millrace::broker
