#include "broker/dispatcher/retry_policy.h"

#include <algorithm>
#include <cmath>
#include <set>

namespace millrace::broker {
namespace {

constexpr size_t kPoisonWorkers = 2;
constexpr size_t kPoisonCrashes = 3;

// A full disk is still full a millisecond later. After a lost worker there is nothing to wait for.
bool NeedsTime(ErrorCode code) {
  return code == ErrorCode::kWorkerDiskFull || code == ErrorCode::kStorageFull;
}

}  // namespace

RetryPolicy::RetryPolicy(RetryLimits limits, std::function<double()> random)
    : limits_(limits), random_(std::move(random)) {}

Verdict RetryPolicy::Judge(TaskRecord& task, const Error& error, const std::string& worker,
                           int max_attempts) const {
  const RetryClass retry = error.traits().retry;
  if (retry == RetryClass::kInfrastructure) {
    ++task.infrastructure_failures;
    return JudgeInfrastructure(task, error.code());
  }
  ++task.attempts_spent;
  const int spent = task.attempts_spent;
  switch (retry) {
    case RetryClass::kCrash:
      task.crashed_workers.push_back(worker);
      return RetryUnless(IsPoison(task) || spent >= max_attempts, spent);
    case RetryClass::kTransient:
      return RetryUnless(spent >= max_attempts, spent);
    case RetryClass::kUnknown:
      return RetryUnless(spent >= std::min(limits_.max_unknown_attempts, max_attempts), spent);
    default:
      return {.action = RetryAction::kBury};
  }
}

Verdict RetryPolicy::JudgeInfrastructure(const TaskRecord& task, ErrorCode code) const {
  const int failures = task.infrastructure_failures;
  if (failures > limits_.max_infrastructure_failures) return {.action = RetryAction::kBury};
  // The first time, another worker may do better at once; the second time all disks are full.
  if (NeedsTime(code) && failures > 1) {
    return {.action = RetryAction::kRetry, .delay = Backoff(failures)};
  }
  return {.action = RetryAction::kRequeue};
}

Verdict RetryPolicy::RetryUnless(bool exhausted, int failures) const {
  if (exhausted) return {.action = RetryAction::kBury};
  return {.action = RetryAction::kRetry, .delay = Backoff(failures)};
}

std::chrono::milliseconds RetryPolicy::Backoff(int failures) const {
  const double ceiling = std::min(
      static_cast<double>(limits_.cap.count()),
      std::ldexp(static_cast<double>(limits_.base.count()), std::clamp(failures - 1, 0, 60)));
  return std::chrono::milliseconds(static_cast<int64_t>(ceiling * random_()));
}

bool IsPoison(const TaskRecord& task) {
  const std::set<std::string> workers(task.crashed_workers.begin(), task.crashed_workers.end());
  return workers.size() >= kPoisonWorkers || task.crashed_workers.size() >= kPoisonCrashes;
}

Error CauseOfDeath(const TaskRecord& task) {
  if (!task.failure.is_object() || !task.failure.contains("error")) {
    return Error(ErrorCode::kInternal, "the task failed and left no reason");
  }
  const nlohmann::json& last = task.failure["error"];
  Error error = ErrorFromJson(last);
  if (error.traits().retry != RetryClass::kCrash || !IsPoison(task)) return error;
  std::vector<std::string> workers = task.crashed_workers;
  std::erase(workers, "");
  return Error(ErrorCode::kPoison,
               "encoders crashed on this input " + std::to_string(task.crashed_workers.size()) +
                   " times; the last time: " + error.what(),
               {{"last_error", last}, {"workers", workers}});
}

}  // namespace millrace::broker
