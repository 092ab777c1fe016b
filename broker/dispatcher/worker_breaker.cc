#include "broker/dispatcher/worker_breaker.h"

#include <algorithm>

namespace millrace::broker {

bool WorkerBreakers::OnFailure(const std::string& worker, const std::string& job, MonotonicTime now,
                               const std::vector<std::string>& others) {
  Breaker& breaker = breakers_[worker];
  breaker.there = true;
  breaker.last_failure = now;
  if (breaker.failed_jobs.empty()) breaker.first_failure = now;
  if (breaker.failed_jobs.size() < limits_.jobs) breaker.failed_jobs.insert(job);
  switch (breaker.state) {
    case State::kOpen:
      return false;
    case State::kHalfOpen:
      Open(breaker, now);
      return true;
    case State::kClosed:
      break;
  }
  const bool others_fare_better = std::ranges::any_of(others, [&](const std::string& other) {
    return other != worker && FaredBetter(other, breaker.first_failure);
  });
  if (breaker.failed_jobs.size() < limits_.jobs || !others_fare_better) return false;
  Open(breaker, now);
  return true;
}

bool WorkerBreakers::OnSuccess(const std::string& worker, MonotonicTime now) {
  Breaker& breaker = breakers_[worker];
  const bool closed = breaker.state != State::kClosed;
  const std::optional<MonotonicTime> last_failure = breaker.last_failure;
  breaker = Breaker{.last_failure = last_failure, .last_success = now};
  return closed;
}

void WorkerBreakers::OnNeither(const std::string& worker, Fence fence) {
  const auto found = breakers_.find(worker);
  if (found != breakers_.end() && found->second.trial == fence) found->second.trial = 0;
}

void WorkerBreakers::OnLease(const std::string& worker, Fence fence) {
  const auto found = breakers_.find(worker);
  if (found == breakers_.end()) return;
  found->second.there = true;
  if (found->second.state == State::kHalfOpen) found->second.trial = fence;
}

void WorkerBreakers::OnGone(const std::string& worker, MonotonicTime now) {
  if (const auto found = breakers_.find(worker); found != breakers_.end()) {
    found->second.there = false;
  }
  // Forgets workers that do not come back, in the end even those with an open breaker.
  std::erase_if(breakers_, [&](const auto& row) {
    const Breaker& breaker = row.second;
    if (breaker.there) return false;
    return breaker.state == State::kClosed || now >= breaker.half_open_at + limits_.cap;
  });
}

bool WorkerBreakers::MayTake(const std::string& worker) const {
  const auto found = breakers_.find(worker);
  if (found == breakers_.end()) return true;
  const Breaker& breaker = found->second;
  return breaker.state == State::kClosed ||
         (breaker.state == State::kHalfOpen && breaker.trial == 0);
}

WorkerBreakers::View WorkerBreakers::ViewOf(const std::string& worker) const {
  const auto found = breakers_.find(worker);
  if (found == breakers_.end()) return {};
  const Breaker& breaker = found->second;
  View view{
      .state = breaker.state, .failures = breaker.failed_jobs.size(), .half_open_at = std::nullopt};
  if (breaker.state == State::kOpen) view.half_open_at = breaker.half_open_at;
  return view;
}

std::optional<MonotonicTime> WorkerBreakers::NextChange() const {
  std::optional<MonotonicTime> next;
  for (const auto& [worker, breaker] : breakers_) {
    if (breaker.state != State::kOpen) continue;
    if (!next || breaker.half_open_at < *next) next = breaker.half_open_at;
  }
  return next;
}

void WorkerBreakers::Refresh(MonotonicTime now) {
  for (auto& [worker, breaker] : breakers_) {
    if (breaker.state == State::kOpen && breaker.half_open_at <= now) {
      breaker.state = State::kHalfOpen;
    }
  }
}

void WorkerBreakers::RelentAll() {
  for (auto& [worker, breaker] : breakers_) {
    if (breaker.state == State::kOpen) breaker.state = State::kHalfOpen;
  }
}

bool WorkerBreakers::AllClosed() const {
  return std::ranges::all_of(breakers_,
                             [](const auto& row) { return row.second.state == State::kClosed; });
}

void WorkerBreakers::Open(Breaker& breaker, MonotonicTime now) {
  const int doublings = std::min(breaker.openings, 30);
  ++breaker.openings;
  breaker.state = State::kOpen;
  breaker.trial = 0;
  breaker.half_open_at = now + std::min(limits_.cap, limits_.base * (int64_t{1} << doublings));
}

bool WorkerBreakers::FaredBetter(const std::string& other, MonotonicTime since) const {
  const auto found = breakers_.find(other);
  if (found == breakers_.end()) return true;
  const Breaker& breaker = found->second;
  if (breaker.last_success && *breaker.last_success >= since) return true;
  return !breaker.last_failure || *breaker.last_failure < since;
}

std::string_view NameOf(WorkerBreakers::State state) {
  switch (state) {
    case WorkerBreakers::State::kOpen:
      return "open";
    case WorkerBreakers::State::kHalfOpen:
      return "half_open";
    case WorkerBreakers::State::kClosed:
      break;
  }
  return "closed";
}

}  // namespace millrace::broker
