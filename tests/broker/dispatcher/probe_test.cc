#include <gmock/gmock.h>

#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

using testing::IsEmpty;

class ProbeTest : public DispatcherTest {
 protected:
  void Probe(std::chrono::milliseconds patience = 10s) {
    Client("probe", {{"input", {{"upload", "upl_1"}}},
                     {"input_name", "in.mov"},
                     {"deadline_unix_ms", UnixMillis() + patience.count()}});
  }
  std::string ProbeSentTo(const std::string& instance) const {
    const auto sent = Sent(instance, "probe");
    return sent.empty() ? "" : sent[0].body["probe"].get<std::string>();
  }
  void Answer(const std::string& instance, const std::string& probe) {
    Worker(instance, "probed", {{"probe", probe}, {"media", {{"duration", 3}}}});
  }
};

TEST_F(ProbeTest, IsAnsweredByAWorkerThatIsBusyEncoding) {
  Register("host/1");
  Submit();
  Probe(3s);
  const auto sent = Sent("host/1#1", "probe");
  ASSERT_EQ(sent.size(), 1u);
  EXPECT_EQ(sent[0].body["input"], json({{"upload", "upl_1"}}));
  EXPECT_EQ(sent[0].body["input_name"], "in.mov");
  EXPECT_EQ(sent[0].body["deadline_ms"], 3000);
  Answer("host/1#1", sent[0].body["probe"]);
  EXPECT_EQ(Reply().type, "ok");
  EXPECT_EQ(Reply().id, "m1");
  EXPECT_EQ(Reply().body["media"], json({{"duration", 3}}));
  Answer("host/1#1", sent[0].body["probe"]);
  EXPECT_THAT(All<ReplyToClient>(), IsEmpty());
}

TEST_F(ProbeTest, HandsOnTheErrorThatItEndedWith) {
  Register("host/1");
  Probe();
  Worker("host/1#1", "probed",
         {{"probe", ProbeSentTo("host/1#1")},
          {"error", ToJson(Error(ErrorCode::kNotMedia, "this is text"))}});
  EXPECT_EQ(ReplyCode(), "not_media");
  EXPECT_EQ(Reply().body["detail"], "this is text");
}

TEST_F(ProbeTest, IsRefusedAtOnceWithoutWorkers) {
  Probe();
  EXPECT_EQ(ReplyCode(), "no_worker");
  Register("host/1");
  Beat("host/1#1", json::array(), /*draining=*/true);
  Probe();
  EXPECT_EQ(ReplyCode(), "no_worker");
}

TEST_F(ProbeTest, SpreadsAndThenWaitsInLine) {
  Register("host/1");
  Register("host/2");
  Probe();
  const std::string first = ProbeSentTo("host/1#1");
  Probe();
  const std::string second = ProbeSentTo("host/2#1");
  EXPECT_NE(first, "");
  EXPECT_NE(second, "");
  Probe();
  EXPECT_TRUE(effects.empty());
  Answer("host/2#1", second);
  EXPECT_EQ(All<ReplyToClient>().size(), 1u);
  EXPECT_NE(ProbeSentTo("host/2#1"), "");
}

TEST_F(ProbeTest, EndsAtItsDeadlineWhereverItIs) {
  Register("host/1");
  Probe(2s);
  Probe(1s);
  EXPECT_EQ(dispatcher->NextDeadline(), clock.Now() + 1s);
  Advance(1s);
  EXPECT_EQ(ReplyCode(), "deadline_exceeded");
  Advance(1s);
  EXPECT_EQ(ReplyCode(), "deadline_exceeded");
  Probe(0s);
  EXPECT_EQ(ReplyCode(), "deadline_exceeded");
  // The slot is free again.
  Probe();
  EXPECT_NE(ProbeSentTo("host/1#1"), "");
}

TEST_F(ProbeTest, GoesToAnotherWorkerWhenItsOwnDisappears) {
  Register("host/1");
  Probe();
  const std::string probe = ProbeSentTo("host/1#1");
  Register("host/2");
  Worker("host/1#1", "goodbye", json::object());
  EXPECT_EQ(ProbeSentTo("host/2#1"), probe);
  Answer("host/1#1", probe);
  EXPECT_THAT(All<ReplyToClient>(), IsEmpty());
  Worker("host/2#1", "goodbye", json::object());
  EXPECT_EQ(ReplyCode(), "no_worker");
}

TEST_F(ProbeTest, BoundsTheLine) {
  Register("host/1");
  Probe();
  int accepted = 0;
  do {
    Probe();
    ++accepted;
  } while (effects.empty());
  EXPECT_EQ(ReplyCode(), "queue_full");
  EXPECT_EQ(accepted, 257);
}

}  // namespace
}  // namespace millrace::broker
