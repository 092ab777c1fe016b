#pragma once

#include <chrono>
#include <mutex>

#include "core/base/clock.h"

namespace millrace {

// A clock that stands still until a test advances it. Both times advance together; SetWall() steps
// the wall clock alone, as an operator or NTP would. Thread-safe.
class FakeClock final : public Clock {
 public:
  MonotonicTime Now() const override {
    const std::lock_guard lock(mutex_);
    return now_;
  }
  WallTime WallNow() const override {
    const std::lock_guard lock(mutex_);
    return wall_;
  }

  void Advance(std::chrono::microseconds by) {
    const std::lock_guard lock(mutex_);
    now_ += by;
    wall_ += by;
  }
  void SetWall(WallTime wall) {
    const std::lock_guard lock(mutex_);
    wall_ = wall;
  }

 private:
  mutable std::mutex mutex_;
  // Starts above zero, to expose code that mistakes "no time" for a time.
  MonotonicTime now_ = MonotonicTime(std::chrono::hours(1));
  WallTime wall_ = WallTime(std::chrono::hours(24 * 365 * 56));
};

}  // namespace millrace
