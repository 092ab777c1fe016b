#include "cli/client/resend.h"

#include <gtest/gtest.h>

#include <vector>

namespace millrace::cli {
namespace {

using std::chrono::milliseconds;
using std::chrono::seconds;

constexpr MonotonicTime kBegun{};

ResendSchedule Schedule(milliseconds patience, double random = 0) {
  return {patience, kBegun, [random] { return random; }};
}

TEST(ResendSchedule, DoublesTheWaitUpToEightSeconds) {
  ResendSchedule schedule = Schedule(seconds(600));
  std::vector<int64_t> waits;
  for (int i = 0; i < 7; ++i) waits.push_back(schedule.NextWait(kBegun, {})->count());
  EXPECT_EQ(waits, (std::vector<int64_t>{500, 1000, 2000, 4000, 8000, 8000, 8000}));
}

TEST(ResendSchedule, JitterTakesAtMostHalfOfTheWait) {
  EXPECT_EQ(Schedule(seconds(60), 0.5).NextWait(kBegun, {}), milliseconds(375));
  EXPECT_GE(Schedule(seconds(60), 0.999).NextWait(kBegun, {}), milliseconds(250));
}

TEST(ResendSchedule, WaitsAtLeastAsLongAsRetryAfter) {
  EXPECT_EQ(Schedule(seconds(60), 0.9).NextWait(kBegun, seconds(7)), seconds(7));
  EXPECT_EQ(Schedule(seconds(60)).NextWait(kBegun, seconds(0)), milliseconds(500));
}

TEST(ResendSchedule, GivesUpIfTheNextTryWouldComeTooLate) {
  EXPECT_EQ(Schedule(seconds(60)).NextWait(kBegun, seconds(60)), std::nullopt);
  EXPECT_EQ(Schedule(seconds(60)).NextWait(kBegun + milliseconds(59'500), {}), std::nullopt);
  EXPECT_NE(Schedule(seconds(60)).NextWait(kBegun + milliseconds(59'400), {}), std::nullopt);
  EXPECT_EQ(Schedule(seconds(0)).NextWait(kBegun, {}), std::nullopt);
}

TEST(ResendSchedule, LimitsATryToTheTimeLeftButToASecondAtLeast) {
  const ResendSchedule schedule = Schedule(seconds(60));
  EXPECT_EQ(schedule.TimeFor(kBegun, seconds(30)), seconds(30));
  EXPECT_EQ(schedule.TimeFor(kBegun + seconds(50), seconds(30)), seconds(10));
  EXPECT_EQ(schedule.TimeFor(kBegun + seconds(59), seconds(30)), seconds(1));
  EXPECT_EQ(schedule.TimeFor(kBegun + seconds(90), seconds(30)), seconds(1));
}

}  // namespace
}  // namespace millrace::cli
