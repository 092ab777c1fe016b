#include "broker/dispatcher/failure_spike.h"

#include <algorithm>
#include <utility>

namespace millrace::broker {

FailureSpike::Change FailureSpike::OnEnd(const std::string& task, const std::string& job,
                                         const std::string& worker, AttemptEnd end,
                                         MonotonicTime now) {
  while (!window_.empty() && window_.front().at + limits_.window <= now) {
    Forget(window_.front());
    window_.pop_front();
  }
  const bool failed = end == AttemptEnd::kFailed;
  Count({.at = now, .job = job, .worker = worker, .failed = failed});
  if (!paused_) {
    if (!failed || !IsSpike()) return Change::kNone;
    pauses_ = 0;
    Pause(now);
    return Change::kPaused;
  }
  if (IsCanary(task) && end != AttemptEnd::kOther) {
    if (failed && pauses_ < limits_.most_pauses) {
      Pause(now);
      return Change::kPaused;
    }
    Resume();
    return Change::kResumed;
  }
  ++since_pause_.ended;
  since_pause_.failed += failed ? 1 : 0;
  if (now < until_ || !MostSucceeded()) return Change::kNone;
  Resume();
  return Change::kResumed;
}

bool FailureSpike::OnCanaryGone(const std::string& task) {
  if (!IsCanary(task)) return false;
  canary_.clear();
  return true;
}

void FailureSpike::Disregard(const std::string& worker) {
  std::deque<Ended> kept;
  for (Ended& ended : window_) {
    if (ended.worker == worker) {
      Forget(ended);
    } else {
      kept.push_back(std::move(ended));
    }
  }
  window_ = std::move(kept);
}

bool FailureSpike::MayGo(const std::string& task, MonotonicTime now) {
  if (!paused_ || IsCanary(task)) return true;
  if (now < until_ || !canary_.empty()) return false;
  canary_ = task;
  return true;
}

FailureSpike::Change FailureSpike::OnPauseOver(MonotonicTime now) {
  if (!paused_ || now < until_) return Change::kNone;
  if (!canary_.empty() && !MostSucceeded()) return Change::kNone;
  Resume();
  return Change::kResumed;
}

std::optional<MonotonicTime> FailureSpike::NextChange() const {
  if (!paused_ || !canary_.empty()) return std::nullopt;
  return until_;
}

void FailureSpike::Count(Ended ended) {
  Tally& worker = workers_[ended.worker];
  ++worker.ended;
  ++all_.ended;
  if (ended.failed) {
    ++worker.failed;
    ++all_.failed;
    ++failed_jobs_[ended.job];
  }
  window_.push_back(std::move(ended));
}

void FailureSpike::Forget(const Ended& ended) {
  Tally& worker = workers_.at(ended.worker);
  --worker.ended;
  --all_.ended;
  if (ended.failed) {
    --worker.failed;
    --all_.failed;
    if (const auto job = failed_jobs_.find(ended.job); --job->second == 0) failed_jobs_.erase(job);
  }
  if (worker.ended == 0) workers_.erase(ended.worker);
}

bool FailureSpike::IsSpike() const {
  return failed_jobs_.size() >= limits_.jobs && all_.failed * 2 > all_.ended &&
         std::ranges::all_of(workers_, [](const auto& row) { return row.second.failed > 0; });
}

void FailureSpike::Pause(MonotonicTime now) {
  const int doublings = std::min(pauses_, 30);
  ++pauses_;
  paused_ = true;
  canary_.clear();
  since_pause_ = {};
  until_ = now + std::min(limits_.cap, limits_.base * (int64_t{1} << doublings));
}

void FailureSpike::Resume() {
  paused_ = false;
  canary_.clear();
  // A new pause needs new evidence.
  window_.clear();
  failed_jobs_.clear();
  workers_.clear();
  all_ = {};
}

}  // namespace millrace::broker
