#pragma once

#include <chrono>
#include <optional>
#include <vector>

#include "core/model/job.h"
#include "core/model/task.h"

namespace millrace::broker {

struct PlannerOptions {
  // What one more task of a job is taken to cost: its process, its look at the input, its files
  // that have to be synced and moved.
  std::chrono::milliseconds task_overhead{500};
};

// What can run at the same time.
struct Fleet {
  int workers = 0;
  int slots = 0;  // of all of them
};

// A task of a plan.
struct PlannedTask {
  TaskKind kind = TaskKind::kTranscode;
  std::optional<EncodeSpec> spec;    // nullopt: all that the job asks for
  std::vector<size_t> dependencies;  // by their place in the plan

  bool operator==(const PlannedTask&) const = default;
};

// Plans a job as the tasks that make its outputs; each output is made by one of them. A pure
// function of what is known when the job is accepted.
//
// Outputs that need a decoded picture share that decode, and so a task. Those that need decoded
// sound alone, and those that only copy streams, get a task of their own where that ends the job
// earlier by at least four times what it costs: the overhead of a task, and the reading and
// decoding that is done twice (cost_model.h). So a short job stays one task, as does any job where
// the fleet has but one slot. The task that takes longest is the first.
std::vector<PlannedTask> PlanTasks(const Job& job, const Fleet& fleet,
                                   const PlannerOptions& options);

}  // namespace millrace::broker
