#include "broker/dispatcher/worker_breaker.h"

#include <gtest/gtest.h>

namespace millrace::broker {
namespace {

using namespace std::chrono_literals;
using State = WorkerBreakers::State;

class WorkerBreakerTest : public testing::Test {
 protected:
  bool Fail(const std::string& worker, const std::string& job) {
    return breakers_.OnFailure(worker, job, now_, {"a", "b"});
  }
  // Fails three jobs on "a"; returns whether its breaker opened by it.
  bool Break() { return Fail("a", "1") + Fail("a", "2") + Fail("a", "3") == 1; }
  State StateOf(const std::string& worker) const { return breakers_.ViewOf(worker).state; }
  void Pass(std::chrono::seconds time) {
    now_ += time;
    breakers_.Refresh(now_);
  }

  WorkerBreakers breakers_{BreakerLimits{}};
  MonotonicTime now_{1h};
};

TEST_F(WorkerBreakerTest, OpensWhenThreeDifferentJobsFailInARow) {
  EXPECT_FALSE(Fail("a", "1"));
  EXPECT_FALSE(Fail("a", "1"));
  EXPECT_FALSE(Fail("a", "2"));
  EXPECT_TRUE(breakers_.MayTake("a"));
  EXPECT_TRUE(Fail("a", "3"));
  EXPECT_FALSE(breakers_.MayTake("a"));
  EXPECT_EQ(breakers_.ViewOf("a").failures, 3u);
  EXPECT_EQ(breakers_.ViewOf("a").half_open_at, now_ + 30s);
  EXPECT_EQ(breakers_.NextChange(), now_ + 30s);
  EXPECT_FALSE(breakers_.AllClosed());
  // What still runs there changes nothing.
  EXPECT_FALSE(Fail("a", "4"));
  EXPECT_EQ(breakers_.ViewOf("a").half_open_at, now_ + 30s);
}

TEST_F(WorkerBreakerTest, StaysClosedWhenAJobSucceedsBetween) {
  Fail("a", "1");
  Fail("a", "2");
  EXPECT_FALSE(breakers_.OnSuccess("a", now_));
  EXPECT_FALSE(Fail("a", "3"));
  EXPECT_EQ(breakers_.ViewOf("a").failures, 1u);
}

TEST_F(WorkerBreakerTest, NeverOpensWithoutAWorkerThatFaresBetter) {
  for (const char* job : {"1", "2", "3", "4"}) {
    EXPECT_FALSE(breakers_.OnFailure("a", job, now_, {"a"}));
  }
  // The other fails as well.
  now_ += 1s;
  Fail("b", "9");
  EXPECT_FALSE(Fail("a", "5"));
  // Then something succeeds there.
  breakers_.OnSuccess("b", now_);
  EXPECT_TRUE(Fail("a", "6"));
}

TEST_F(WorkerBreakerTest, ComparesWorkersSinceTheFirstFailure) {
  Fail("b", "9");
  now_ += 1s;
  EXPECT_TRUE(Break());
}

TEST_F(WorkerBreakerTest, GivesOneTaskWhenHalfOpenAndClosesWhenItSucceeds) {
  Break();
  Pass(29s);
  EXPECT_EQ(StateOf("a"), State::kOpen);
  Pass(1s);
  EXPECT_EQ(StateOf("a"), State::kHalfOpen);
  EXPECT_EQ(breakers_.NextChange(), std::nullopt);
  EXPECT_TRUE(breakers_.MayTake("a"));
  breakers_.OnLease("a", 7);
  EXPECT_FALSE(breakers_.MayTake("a"));
  EXPECT_TRUE(breakers_.OnSuccess("a", now_));
  EXPECT_EQ(StateOf("a"), State::kClosed);
  EXPECT_TRUE(breakers_.AllClosed());
}

TEST_F(WorkerBreakerTest, TriesAnotherTaskWhenTheFirstEndsWithoutEvidence) {
  Break();
  Pass(30s);
  breakers_.OnLease("a", 7);
  breakers_.OnNeither("a", 6);
  EXPECT_FALSE(breakers_.MayTake("a"));
  breakers_.OnNeither("a", 7);
  EXPECT_TRUE(breakers_.MayTake("a"));
}

TEST_F(WorkerBreakerTest, DoublesTheRestUpToTenMinutesUntilASuccess) {
  Break();
  for (const auto wait : {30s, 60s, 120s, 240s, 480s, 600s, 600s}) {
    EXPECT_EQ(breakers_.ViewOf("a").half_open_at, now_ + wait);
    Pass(wait);
    breakers_.OnLease("a", 7);
    EXPECT_TRUE(Fail("a", "x"));
  }
  breakers_.OnSuccess("a", now_);
  now_ += 1s;
  EXPECT_TRUE(Break());
  EXPECT_EQ(breakers_.ViewOf("a").half_open_at, now_ + 30s);
}

TEST_F(WorkerBreakerTest, KeepsTheBreakerOfARestartedWorkerButNotOfOneThatStaysAway) {
  Break();
  breakers_.OnGone("a", now_);
  EXPECT_FALSE(breakers_.MayTake("a"));
  now_ += 30s + 10min;
  breakers_.OnGone("b", now_);
  EXPECT_TRUE(breakers_.AllClosed());
}

TEST_F(WorkerBreakerTest, RelentsWhenNoOtherWorkerIsLeft) {
  Break();
  breakers_.RelentAll();
  EXPECT_EQ(StateOf("a"), State::kHalfOpen);
  EXPECT_TRUE(breakers_.MayTake("a"));
}

}  // namespace
}  // namespace millrace::broker
