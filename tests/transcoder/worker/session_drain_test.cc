#include "tests/transcoder/worker/session_fixture.h"

namespace millrace::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class SessionDrainTest : public SessionTest {};

TEST_F(SessionDrainTest, LetsItsTasksFinishTakesNothingNewAndSaysGoodbye) {
  Register();
  Assign(kLease);
  transport_.Take(message::kBeat);
  EXPECT_FALSE(host_.skips_excerpts);
  session_.Drain();
  EXPECT_TRUE(host_.skips_excerpts);
  const auto beats = transport_.Take(message::kBeat);
  ASSERT_THAT(beats, SizeIs(1));
  EXPECT_EQ(beats[0].body.at("draining"), true);
  Assign(kOther);
  EXPECT_THAT(host_.started, ElementsAre(kLease));
  ASSERT_THAT(transport_.Take(message::kReleased), SizeIs(1));
  Probe("prb_1");
  EXPECT_THAT(host_.probes, IsEmpty());
  Finish(kLease);
  EXPECT_THAT(transport_.Take(message::kGoodbye), IsEmpty());
  Receive(message::kAck, {}, transport_.Take(message::kFinished).at(0).id);
  const auto goodbye = transport_.Take(message::kGoodbye);
  ASSERT_THAT(goodbye, SizeIs(1));
  EXPECT_FALSE(session_.left());
  Receive(message::kAck, {}, goodbye[0].id);
  EXPECT_TRUE(session_.left());
  EXPECT_THAT(host_.stopped, IsEmpty());
}

TEST_F(SessionDrainTest, ReleasesUnfinishedTasksAfterTheDrainTimeout) {
  Register();
  Assign(kLease);
  session_.Drain();
  PassAnswering(29s);
  EXPECT_THAT(host_.stopped, IsEmpty());
  PassAnswering(1s);
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
  Stopped(kLease);
  const auto released = transport_.Take(message::kReleased);
  ASSERT_THAT(released, SizeIs(1));
  EXPECT_EQ(released[0].body.at("reason"), "draining");
  Receive(message::kAck, {}, released[0].id);
  EXPECT_THAT(transport_.Take(message::kGoodbye), SizeIs(1));
}

TEST_F(SessionDrainTest, ReleasesAtOnceWhenToldTwice) {
  Register();
  Assign(kLease);
  session_.Drain();
  session_.Drain();
  session_.Tick();
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
}

TEST_F(SessionDrainTest, LeavesWithoutTheAnswerOfASilentBroker) {
  Register();
  Assign(kLease);
  session_.Drain();
  session_.Drain();
  session_.Tick();
  Stopped(kLease);
  Pass(4999ms);
  EXPECT_FALSE(session_.left());
  Pass(1ms);
  EXPECT_TRUE(session_.left());
}

TEST_F(SessionDrainTest, LeavesAtOnceIfNoBrokerKnowsIt) {
  session_.Drain();
  session_.Tick();
  session_.Tick();
  EXPECT_TRUE(session_.left());
}

}  // namespace
}  // namespace millrace::worker
