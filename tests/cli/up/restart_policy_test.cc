#include "cli/up/restart_policy.h"

#include <gtest/gtest.h>

#include "tests/fakes/fake_clock.h"

namespace millrace::cli {
namespace {

using std::chrono::milliseconds;

class RestartPolicyTest : public testing::Test {
 protected:
  milliseconds RunFor(milliseconds time) {
    policy_.Started(clock_.Now());
    clock_.Advance(time);
    return policy_.Ended(clock_.Now());
  }

  FakeClock clock_;
  RestartPolicy policy_{{.first_delay = milliseconds(100),
                         .longest_delay = milliseconds(1'000),
                         .good_run = milliseconds(30'000)}};
};

TEST_F(RestartPolicyTest, DoublesTheWaitUpToACeiling) {
  EXPECT_EQ(RunFor(milliseconds(5)), milliseconds(100));
  EXPECT_EQ(RunFor(milliseconds(5)), milliseconds(200));
  EXPECT_EQ(RunFor(milliseconds(5)), milliseconds(400));
  EXPECT_EQ(RunFor(milliseconds(5)), milliseconds(800));
  EXPECT_EQ(RunFor(milliseconds(5)), milliseconds(1'000));
  EXPECT_EQ(RunFor(milliseconds(5)), milliseconds(1'000));
  EXPECT_EQ(policy_.ends_in_a_row(), 6);
}

TEST_F(RestartPolicyTest, StartsAnewAfterAGoodRun) {
  RunFor(milliseconds(5));
  RunFor(milliseconds(29'999));
  EXPECT_EQ(policy_.ends_in_a_row(), 2);
  EXPECT_EQ(RunFor(milliseconds(30'000)), milliseconds(100));
  EXPECT_EQ(policy_.ends_in_a_row(), 1);
}

}  // namespace
}  // namespace millrace::cli
