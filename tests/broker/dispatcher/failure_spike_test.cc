#include "broker/dispatcher/failure_spike.h"

#include <gtest/gtest.h>

namespace millrace::broker {
namespace {

using namespace std::chrono_literals;
using Change = FailureSpike::Change;

class FailureSpikeTest : public testing::Test {
 protected:
  Change End(const std::string& job, const std::string& worker, AttemptEnd end) {
    return spike_.OnEnd("task-" + job, job, worker, end, now_);
  }
  Change Fail(int job, const std::string& worker = "a") {
    return End(std::to_string(job), worker, AttemptEnd::kFailed);
  }
  Change Succeed(const std::string& worker = "a") {
    return End("good", worker, AttemptEnd::kSucceeded);
  }
  void Strike() {
    for (int job = 0; job < 10; ++job) Fail(job, job % 2 == 0 ? "a" : "b");
  }

  FailureSpike spike_{SpikeLimits{}};
  MonotonicTime now_{1h};
};

TEST_F(FailureSpikeTest, PausesWhenTenDifferentJobsFailOnAllWorkersWithinAMinute) {
  for (int job = 0; job < 9; ++job) EXPECT_EQ(Fail(job), Change::kNone);
  EXPECT_EQ(Fail(8), Change::kNone);  // once more
  EXPECT_FALSE(spike_.paused());
  EXPECT_EQ(Fail(9), Change::kPaused);
  EXPECT_TRUE(spike_.paused());
  EXPECT_EQ(spike_.until(), now_ + 30s);
  EXPECT_EQ(spike_.NextChange(), now_ + 30s);
}

TEST_F(FailureSpikeTest, DoesNotPauseOnFailuresFarApart) {
  for (int job = 0; job < 100; ++job) {
    EXPECT_EQ(Fail(job), Change::kNone);
    now_ += 7s;
  }
}

TEST_F(FailureSpikeTest, DoesNotPauseWhenHalfOfTheAttemptsSucceed) {
  for (int job = 0; job < 30; ++job) {
    Succeed();
    EXPECT_EQ(Fail(job), Change::kNone);
  }
}

TEST_F(FailureSpikeTest, DoesNotPauseWhileOneWorkerSucceeds) {
  Succeed("b");
  for (int job = 0; job < 30; ++job) EXPECT_EQ(Fail(job, "a"), Change::kNone);
  EXPECT_EQ(Fail(31, "b"), Change::kPaused);
}

TEST_F(FailureSpikeTest, DisregardsAWorkerThatIsKnownToBeBroken) {
  for (int job = 0; job < 9; ++job) Fail(job, "a");
  spike_.Disregard("a");
  EXPECT_EQ(Fail(10, "b"), Change::kNone);
  for (int job = 11; job < 19; ++job) EXPECT_EQ(Fail(job, "b"), Change::kNone);
  EXPECT_EQ(Fail(19, "b"), Change::kPaused);
}

TEST_F(FailureSpikeTest, LetsOneRetryGoAfterThePauseAndTheOthersWhenItSucceeds) {
  Strike();
  EXPECT_FALSE(spike_.MayGo("task-1", now_));
  now_ += 30s;
  EXPECT_TRUE(spike_.MayGo("task-1", now_));
  EXPECT_FALSE(spike_.MayGo("task-2", now_));
  EXPECT_TRUE(spike_.MayGo("task-1", now_));
  EXPECT_TRUE(spike_.IsCanary("task-1"));
  EXPECT_EQ(spike_.NextChange(), std::nullopt);
  EXPECT_EQ(spike_.OnPauseOver(now_), Change::kNone);
  EXPECT_EQ(End("1", "a", AttemptEnd::kSucceeded), Change::kResumed);
  EXPECT_FALSE(spike_.paused());
  EXPECT_TRUE(spike_.MayGo("task-2", now_));
}

TEST_F(FailureSpikeTest, PausesTwiceAsLongEachTimeAndGivesUpInTheEnd) {
  Strike();
  for (const auto wait : {30s, 60s, 120s, 240s, 480s, 600s}) {
    EXPECT_EQ(spike_.until(), now_ + wait);
    now_ += wait;
    ASSERT_TRUE(spike_.MayGo("task-1", now_));
    EXPECT_EQ(Fail(1), Change::kPaused);
  }
  now_ += 600s;
  ASSERT_TRUE(spike_.MayGo("task-1", now_));
  EXPECT_EQ(Fail(1), Change::kResumed);
  EXPECT_FALSE(spike_.paused());
  // A new spike has to show itself anew, and begins with a short pause.
  Strike();
  EXPECT_EQ(spike_.until(), now_ + 30s);
}

TEST_F(FailureSpikeTest, TakesAnotherCanaryWhenOneEndsWithoutEvidence) {
  Strike();
  now_ += 30s;
  spike_.MayGo("task-1", now_);
  EXPECT_FALSE(spike_.OnCanaryGone("task-2"));
  EXPECT_TRUE(spike_.OnCanaryGone("task-1"));
  EXPECT_TRUE(spike_.MayGo("task-2", now_));
}

TEST_F(FailureSpikeTest, EndsWhenMostOtherAttemptsSucceed) {
  Strike();
  EXPECT_EQ(Succeed(), Change::kNone);
  Fail(50);
  Succeed();
  now_ += 30s;
  spike_.MayGo("task-1", now_);
  EXPECT_EQ(spike_.OnPauseOver(now_), Change::kResumed);
}

TEST_F(FailureSpikeTest, EndsAtTheEndOfThePauseIfNoRetryWaits) {
  Strike();
  EXPECT_EQ(spike_.OnPauseOver(now_ + 29s), Change::kNone);
  EXPECT_EQ(spike_.OnPauseOver(now_ + 30s), Change::kResumed);
}

}  // namespace
}  // namespace millrace::broker
