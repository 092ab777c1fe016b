#include "core/base/clock.h"

#include <ctime>

#include "core/base/error.h"

namespace millrace {

MonotonicTime SystemClock::Now() const { return std::chrono::steady_clock::now(); }

WallTime SystemClock::WallNow() const {
  return std::chrono::time_point_cast<std::chrono::microseconds>(std::chrono::system_clock::now());
}

std::string FormatTime(WallTime time) {
  const auto whole = std::chrono::floor<std::chrono::seconds>(time);
  const auto millis = std::chrono::duration_cast<std::chrono::milliseconds>(time - whole).count();
  const std::time_t seconds = std::chrono::system_clock::to_time_t(whole);
  std::tm parts{};
  gmtime_r(&seconds, &parts);
  char text[40];
  const size_t used = std::strftime(text, sizeof text, "%Y-%m-%dT%H:%M:%S", &parts);
  std::snprintf(text + used, sizeof text - used, ".%03dZ", static_cast<int>(millis));
  return text;
}

WallTime ParseTime(std::string_view text) {
  const std::string owned(text);
  std::tm parts{};
  const char* rest = strptime(owned.c_str(), "%Y-%m-%dT%H:%M:%S", &parts);
  if (rest == nullptr) {
    throw Error(ErrorCode::kInvalidRequest, "not an RFC 3339 time: '" + owned + "'");
  }
  std::chrono::microseconds fraction{0};
  if (*rest == '.') {
    long scale = 100'000;
    for (++rest; *rest >= '0' && *rest <= '9'; ++rest, scale /= 10) {
      fraction += std::chrono::microseconds((*rest - '0') * scale);
    }
  }
  if (std::string_view(rest) != "Z") {
    throw Error(ErrorCode::kInvalidRequest, "not a time in UTC ending in Z: '" + owned + "'");
  }
  return std::chrono::time_point_cast<std::chrono::microseconds>(
             std::chrono::system_clock::from_time_t(timegm(&parts))) +
         fraction;
}

}  // namespace millrace
