#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>

#include "broker/dispatcher/failure_spike.h"
#include "broker/dispatcher/job_table.h"
#include "broker/dispatcher/options.h"
#include "broker/dispatcher/outcome.h"
#include "broker/dispatcher/poison_memory.h"
#include "broker/dispatcher/probe_table.h"
#include "broker/dispatcher/rate.h"
#include "broker/dispatcher/settled.h"
#include "broker/dispatcher/task_queue.h"
#include "broker/dispatcher/worker_breaker.h"
#include "broker/dispatcher/worker_registry.h"
#include "broker/ledger/records.h"
#include "broker/planner/task_planner.h"

namespace millrace::broker {

// Everything the dispatcher remembers. Its collaborators (Admission, Leases, Workers, ...) hold no
// memory of their own: each reads and changes this. The ledger has `jobs`, `redrives`, `poison`,
// `last_fence` and `last_sequence` too; the rest is lost with the process.
struct DispatcherState {
  // Takes over what an earlier broker left in the ledger. Leases get one grace period; interrupted
  // publishing and burying are left to Lifecycle::Resume().
  DispatcherState(const DispatcherOptions& options, Snapshot snapshot, Now now);

  // Puts a task in line.
  void Enqueue(TaskEntry& task);
  // The workers that take new tasks.
  Fleet fleet() const;

  JobTable jobs;                    // that have not ended, with their tasks
  TaskQueue queue;                  // tasks that wait for a worker
  WorkerRegistry workers;           // with the leases that each holds
  ProbeTable probes;                // of clients that wait for an answer
  SettledAttempts settled;          // of jobs that have ended
  DrainRate drain_rate;             // of jobs that end
  PoisonMemory poison;              // inputs that crash encoders
  WorkerBreakers breakers;          // of workers on which job after job fails
  bool breakers_in_use = false;     // some breaker may not be closed
  FailureSpike spike;               // failures on all workers at once
  WallTime retries_paused_until{};  // by the clock that clients see; set while `spike` pauses
  std::map<std::string, RedriveRecord> redrives;  // by id; those that wait for their canary
  std::optional<int64_t> free_bytes;              // on the media store's disk; nullopt: not known
  Fence last_fence = 0;
  int64_t last_sequence = 0;  // of the event log
  bool draining = false;

 private:
  void RestoreJobs(Snapshot snapshot, const DispatcherOptions& options, Now now);
  void RestoreTask(TaskEntry& task, const DispatcherOptions& options, Now now);
};

}  // namespace millrace::broker
