#include "core/base/clock.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace millrace {
namespace {

TEST(Clock, FormatsTimesAsRfc3339InUtcWithMilliseconds) {
  EXPECT_EQ(FormatTime(WallTime(std::chrono::microseconds(0))), "1970-01-01T00:00:00.000Z");
  EXPECT_EQ(FormatTime(WallTime(std::chrono::microseconds(1'700'000'000'042'999))),
            "2023-11-14T22:13:20.042Z");
}

TEST(Clock, ReadsWhatItWrites) {
  const WallTime time(std::chrono::milliseconds(1'700'000'000'042));
  EXPECT_EQ(ParseTime(FormatTime(time)), time);
  EXPECT_EQ(ParseTime("2023-11-14T22:13:20Z"), WallTime(std::chrono::seconds(1'700'000'000)));
}

TEST(Clock, RefusesTextThatIsNotAUtcTime) {
  for (const char* text : {"", "yesterday", "2023-11-14", "2023-11-14T22:13:20",
                           "2023-11-14T22:13:20+01:00", "2023-11-14T22:13:20Zx"}) {
    EXPECT_THROW(ParseTime(text), Error) << text;
  }
}

TEST(Clock, MonotonicTimeNeverGoesBack) {
  const SystemClock clock;
  const MonotonicTime first = clock.Now();
  EXPECT_LE(first, clock.Now());
}

}  // namespace
}  // namespace millrace
