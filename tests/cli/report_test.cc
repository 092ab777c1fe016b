#include "cli/report.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace millrace {
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

TEST(WorkersTable, SaysWhichWorkersAreGivenNothing) {
  EXPECT_THAT(WorkersTable(json::array({WorkerWith("open")})), HasSubstr("idle, breaker open"));
  EXPECT_THAT(WorkersTable(json::array({WorkerWith("half_open")})),
              HasSubstr("idle, breaker half-open"));
  EXPECT_THAT(WorkersTable(json::array({WorkerWith("closed")})), Not(HasSubstr("breaker")));
}

}  // namespace
}  // namespace millrace
