#pragma once

#include <algorithm>
#include <chrono>
#include <deque>

#include "core/base/clock.h"

namespace millrace::broker {

// Counts the jobs that end, per minute, over the last five minutes. Owned by the dispatcher.
class DrainRate {
 public:
  explicit DrainRate(MonotonicTime now) : since_(now) {}

  void Count(MonotonicTime now) {
    Forget(now);
    if (counts_.empty() || now - counts_.back().start >= kStep) counts_.push_back({now, 0});
    ++counts_.back().jobs;
  }

  double PerMinute(MonotonicTime now) const {
    double jobs = 0;
    for (const Step& step : counts_) {
      if (now - step.start < kWindow) jobs += step.jobs;
    }
    // Right after the start there are fewer than five minutes to divide by.
    const auto watched = std::clamp<MonotonicTime::duration>(now - since_, kStep, kWindow);
    return jobs / std::chrono::duration<double, std::ratio<60>>(watched).count();
  }

 private:
  static constexpr std::chrono::seconds kStep{10};
  static constexpr std::chrono::minutes kWindow{5};
  struct Step {
    MonotonicTime start;
    int jobs;
  };

  void Forget(MonotonicTime now) {
    while (!counts_.empty() && now - counts_.front().start >= kWindow) counts_.pop_front();
  }

  const MonotonicTime since_;
  std::deque<Step> counts_;
};

}  // namespace millrace::broker
