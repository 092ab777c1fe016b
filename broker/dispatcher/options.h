#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>

#include "broker/dispatcher/failure_spike.h"
#include "broker/dispatcher/worker_breaker.h"
#include "broker/planner/task_planner.h"
#include "core/base/random.h"

namespace millrace::broker {

struct DispatcherOptions {
  std::chrono::milliseconds lease{15'000};
  std::chrono::milliseconds beat{5'000};
  // Time for a worker whose connection closed to be heard on another one. A living worker tries
  // after 50 to 100 ms, and a few times more within this.
  std::chrono::milliseconds reconnect{700};
  std::chrono::milliseconds retry_base{1'000};   // backoff: full jitter up to base * 2^n ...
  std::chrono::milliseconds retry_cap{600'000};  // ... and at most this
  int max_infrastructure_failures = 20;
  int max_unknown_attempts = 3;
  size_t max_queued = 100'000;  // jobs; more are refused with queue_full
  // Submissions are refused with storage_full when the free space of the media store, less the
  // predicted outputs of all accepted jobs, falls below this; 0: never.
  int64_t min_free_bytes = int64_t{1} << 30;
  BreakerLimits breaker;  // of one worker
  SpikeLimits spike;      // of the fleet
  PlannerOptions planner;
  // Returns a number in [0, 1); a test gives a fixed one.
  std::function<double()> random = RandomFraction;
};

}  // namespace millrace::broker
