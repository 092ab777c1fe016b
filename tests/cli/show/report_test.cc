#include "cli/show/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json WorkerWith(const std::string& breaker) {
  return {{"name", "host/1"},
          {"state", "idle"},
          {"busy_slots", 0},
          {"slots", 2},
          {"cores", 2},
          {"last_beat_seconds", 1.0},
          {"breaker", {{"state", breaker}}},
          {"tasks", json::array()}};
}

TEST(WorkersTable, ShowsOpenBreakers) {
  EXPECT_THAT(WorkersTable(json::array({WorkerWith("open")})), HasSubstr("idle, breaker open"));
  EXPECT_THAT(WorkersTable(json::array({WorkerWith("half_open")})),
              HasSubstr("idle, breaker half-open"));
  EXPECT_THAT(WorkersTable(json::array({WorkerWith("closed")})), Not(HasSubstr("breaker")));
}

TEST(DescribeQueue, IsForPeople) {
  const std::string text = DescribeQueue(
      {{"queued", 3},
       {"free_bytes", 2'000'000},
       {"retries_paused_seconds", 1.5},
       {"janitor",
        {{"rounds", 4}, {"removed", {{"uploads", 2}, {"work", 0}, {"dead_letters", 1}}}}}});
  EXPECT_THAT(text, HasSubstr("queued                  3\n"));
  EXPECT_THAT(text, HasSubstr("free bytes              2.0 MB\n"));
  EXPECT_THAT(text, HasSubstr("retries paused seconds  1.5\n"));
  EXPECT_THAT(text, HasSubstr("4 rounds, removed 1 dead letters, 2 uploads\n"));
}

}  // namespace
}  // namespace millrace::cli
