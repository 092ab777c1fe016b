#include "cli/base/time_span.h"

#include <gtest/gtest.h>

#include "core/base/error.h"

namespace millrace::cli {
namespace {

const WallTime kNow = ParseTime("2026-11-25T22:15:00Z");

std::string At(const std::string& text) { return FormatTime(PointInTime(text, kNow, "--since")); }

TEST(TimeSpan, CountsBackFromNow) {
  EXPECT_EQ(At("90s"), "2026-11-25T22:13:30.000Z");
  EXPECT_EQ(At("30min"), "2026-11-25T21:45:00.000Z");
  EXPECT_EQ(At("30m"), At("30min"));
  EXPECT_EQ(At("2h"), "2026-11-25T20:15:00.000Z");
  EXPECT_EQ(At("3d"), "2026-11-22T22:15:00.000Z");
  EXPECT_EQ(At("1w"), "2026-11-18T22:15:00.000Z");
}

TEST(TimeSpan, AcceptsTimesOfAnyZone) {
  EXPECT_EQ(At("2026-11-25T20:00:00Z"), "2026-11-25T20:00:00.000Z");
  EXPECT_EQ(At("2026-11-25T20:00:00.25Z"), "2026-11-25T20:00:00.250Z");
  EXPECT_EQ(At("2026-11-25T20:00:00+01:30"), "2026-11-25T18:30:00.000Z");
  EXPECT_EQ(At("2026-11-25T20:00:00-05:00"), "2026-11-26T01:00:00.000Z");
}

TEST(TimeSpan, RefusesAMalformedTimeAndNamesTheOption) {
  for (const char* text :
       {"", "2", "h", "2x", "-2h", "+2h", "2.5h", "yesterday", "2026-11-25", "2026-11-25T20:00:00",
        "2026-11-25T20:00:00+99:00", "2h ago", "99999999999999999999h", "9223372036854775807w"}) {
    try {
      PointInTime(text, kNow, "--since");
      ADD_FAILURE() << text << " was taken";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidRequest);
      EXPECT_EQ(std::string(error.what()).substr(0, 8), "--since ");
    }
  }
}

}  // namespace
}  // namespace millrace::cli
