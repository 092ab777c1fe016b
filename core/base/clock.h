#pragma once

#include <chrono>
#include <string>
#include <string_view>

namespace millrace {

// Measures leases, deadlines and backoff. Wall time is only shown to people and written to records.
using MonotonicTime = std::chrono::steady_clock::time_point;
using WallTime = std::chrono::time_point<std::chrono::system_clock, std::chrono::microseconds>;

// The source of the time for code that decides. Thread-safe. Tests use tests/fakes/fake_clock.h.
class Clock {
 public:
  virtual ~Clock() = default;
  virtual MonotonicTime Now() const = 0;
  virtual WallTime WallNow() const = 0;
};

class SystemClock final : public Clock {
 public:
  MonotonicTime Now() const override;
  WallTime WallNow() const override;
};

// RFC 3339 in UTC with milliseconds, e.g. "2026-11-23T20:28:37.042Z".
std::string FormatTime(WallTime time);
// Throws Error{kInvalidRequest} on text that is not an RFC 3339 time in UTC.
WallTime ParseTime(std::string_view text);

}  // namespace millrace
