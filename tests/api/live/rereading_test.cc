#include "api/live/rereading.h"

#include <gmock/gmock.h>

#include <map>

namespace millrace::api {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

using Followed = std::map<std::string, int>;

TEST(Rereading, ReadsAllJobsInTurn) {
  const Followed jobs = {{"a", 0}, {"b", 0}, {"c", 0}};
  Rereading rereading;
  std::vector<std::string> turn;
  while (turn.size() < jobs.size()) {
    for (std::string& id : rereading.Next(jobs, 2)) turn.push_back(std::move(id));
  }
  EXPECT_THAT(turn, UnorderedElementsAre("a", "b", "c"));
  EXPECT_FALSE(rereading.IsInAHurry());
}

TEST(Rereading, LeavesOutWhatNobodyFollowsAnyMore) {
  Followed jobs = {{"a", 0}, {"b", 0}, {"c", 0}};
  Rereading rereading;
  EXPECT_THAT(rereading.Next(jobs, 1), ElementsAre("c"));
  jobs.erase("b");
  EXPECT_THAT(rereading.Next(jobs, 1), ElementsAre("a"));
  EXPECT_THAT(rereading.Next(Followed(), 5), IsEmpty());
}

TEST(Rereading, HurriesThroughAWholeTurnThatBeginsAfterwards) {
  const Followed jobs = {{"a", 0}, {"b", 0}, {"c", 0}};
  Rereading rereading;
  rereading.Next(jobs, 1);
  rereading.Hurry();
  EXPECT_THAT(rereading.Next(jobs, 0), IsEmpty());
  std::vector<std::string> read;
  while (rereading.IsInAHurry()) {
    for (std::string& id : rereading.Next(jobs, 2)) read.push_back(std::move(id));
  }
  EXPECT_THAT(read, UnorderedElementsAre("a", "b", "a", "b", "c"));
}

TEST(Rereading, DelaysNothingThatIsDueWhenItIsHurriedRepeatedly) {
  const Followed jobs = {{"a", 0}, {"b", 0}, {"c", 0}};
  Rereading rereading;
  std::vector<std::string> read;
  for (int i = 0; i < 3; ++i) {
    rereading.Hurry();
    for (std::string& id : rereading.Next(jobs, 1)) read.push_back(std::move(id));
  }
  EXPECT_THAT(read, UnorderedElementsAre("a", "b", "c"));
}

}  // namespace
}  // namespace millrace::api
