#include "tests/transcoder/worker/session_fixture.h"

namespace millrace::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// Tests a worker that was stopped and continued, or whose machine was suspended: it wakes up to
// everything that has come meanwhile, in any order.
class FrozenSessionTest : public SessionTest {
 protected:
  void SetUp() override {
    Register();
    Assign(kLease);
    transport_.sent.clear();
    clock_.Advance(40s);  // and nothing is called
  }
  void ExpectItGaveUp() {
    EXPECT_THAT(host_.stopped, ElementsAre(kLease));
    EXPECT_EQ(transport_.reconnects, 1);
    for (const Message& message : transport_.sent) {
      EXPECT_EQ(message.type, message::kRegister);
      EXPECT_THAT(message.body.at("running"), IsEmpty());
    }
  }
};

TEST_F(FrozenSessionTest, ReportsNoResultThatCameAfterTheLease) {
  Finish(kLease);
  ExpectItGaveUp();
  EXPECT_THAT(host_.discarded, ElementsAre(kLease));
}

TEST_F(FrozenSessionTest, ReportsNoFailureThatCameAfterTheLease) {
  Fail(kLease);
  ExpectItGaveUp();
}

TEST_F(FrozenSessionTest, ReportsNothingOfAnExpiredLeaseWhenToldToLeave) {
  session_.Drain();
  ExpectItGaveUp();
}

TEST_F(FrozenSessionTest, ReportsNothingOfAnExpiredLeaseWhenItStartedLate) {
  session_.OnStarted(kLease);
  ExpectItGaveUp();
}

TEST_F(FrozenSessionTest, ReportsNothingOfAnExpiredLeaseWhenReconnected) {
  session_.OnConnected();
  ExpectItGaveUp();
}

TEST_F(FrozenSessionTest, TakesNoWorkThatHadBeenWaitingForIt) {
  Assign(kOther);
  ExpectItGaveUp();
  EXPECT_THAT(host_.started, ElementsAre(kLease));
}

class WokenSessionTest : public SessionTest {};

TEST_F(WokenSessionTest, RenewsItsLeaseByAnAnswerThatArrivedWhileItWasFrozen) {
  Register();
  Assign(kLease);
  const Message beat = NextBeat();
  clock_.Advance(29s);
  AnswerBeat(beat);
  EXPECT_THAT(host_.stopped, IsEmpty());
  Finish(kLease);
  EXPECT_THAT(transport_.Take(message::kFinished), SizeIs(1));
}

}  // namespace
}  // namespace millrace::worker
