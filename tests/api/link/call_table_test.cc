#include "api/link/call_table.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_clock.h"

namespace millrace::api {
namespace {

using std::chrono::milliseconds;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

constexpr milliseconds kSilence{1000};
constexpr milliseconds kRepeat{100};

// A table whose connection writes down what it takes, on a clock that the test moves.
class CallTableTest : public testing::Test {
 protected:
  // Starts a call whose end is written into `ended`. Returns its message id.
  std::string Start(const std::string& type, Manner manner, milliseconds allowed = kSilence) {
    auto call = std::make_shared<PendingCall>(
        type, nlohmann::json::object(), manner, [this, type](const BrokerReply& reply) {
          const auto* error = std::get_if<Error>(&reply);
          ended_.push_back(type + ": " +
                           (error != nullptr ? std::string(error->traits().name) : "ok"));
        });
    call->started = clock_.Now();
    call->deadline = call->started + allowed;
    const std::string id = call->id;
    table_.Start(std::move(call));
    return id;
  }
  void Answer(const std::string& id, std::string_view type = message::kOk) {
    table_.OnReply(EncodeMessage({.type = std::string(type), .id = id}));
  }
  // Lets time pass in the steps that the table asks for.
  void Pass(milliseconds time) {
    const MonotonicTime end = clock_.Now() + time;
    while (true) {
      const MonotonicTime next = std::min(table_.NextTick().value_or(end), end);
      clock_.Advance(std::chrono::duration_cast<std::chrono::microseconds>(next - clock_.Now()));
      table_.Tick();
      if (next == end) return;
    }
  }
  // The types of the messages that were sent since the last call.
  std::vector<std::string> Sent() {
    std::vector<std::string> types;
    for (const Message& message : std::exchange(sent_, {})) types.push_back(message.type);
    return types;
  }

  FakeClock clock_;
  bool takes_ = true;
  std::vector<Message> sent_;
  std::vector<std::string> ended_;
  CallTable table_{{.silence = kSilence, .repeat = kRepeat}, clock_, [this](const Frames& frames) {
                     if (takes_) sent_.push_back(DecodeMessage(frames));
                     return takes_;
                   }};
};

TEST_F(CallTableTest, EndsACallWithItsReplyAndForgetsIt) {
  const std::string id = Start("a", Manner::kRepeated);
  Answer(id);
  Answer(id);
  EXPECT_THAT(ended_, ElementsAre("a: ok"));
  Pass(kSilence);
  EXPECT_THAT(Sent(), ElementsAre("a"));
  EXPECT_EQ(table_.NextTick(), std::nullopt);
}

TEST_F(CallTableTest, RepeatsACallUnderItsIdUntilTheBrokerHasBeenSilentForLong) {
  Start("a", Manner::kRepeated);
  Pass(kRepeat * 3);
  ASSERT_THAT(sent_, SizeIs(4));
  EXPECT_EQ(sent_.front().id, sent_.back().id);
  EXPECT_THAT(ended_, IsEmpty());
  Pass(kSilence);
  EXPECT_THAT(ended_, ElementsAre("a: broker_unavailable"));
}

TEST_F(CallTableTest, AsksForSignsOfLifeInsteadOfRepeatingACall) {
  Start("probe", Manner::kOnce, kSilence * 10);
  for (int i = 0; i < 30; ++i) {
    Pass(kRepeat);
    Answer(sent_.back().id);  // of the ping
  }
  EXPECT_THAT(ended_, IsEmpty());
  const std::vector<std::string> sent = Sent();
  EXPECT_EQ(std::ranges::count(sent, "probe"), 1);
  EXPECT_EQ(std::ranges::count(sent, "ping"), 30);
  Pass(kSilence);
  EXPECT_THAT(ended_, ElementsAre("probe: broker_unavailable"));
}

TEST_F(CallTableTest, EndsACallThatIsSentOnceAtItsDeadlineAlthoughTheBrokerLives) {
  Start("probe", Manner::kOnce, kRepeat * 2);
  Pass(kRepeat);
  Answer(sent_.back().id);
  Pass(kRepeat);
  EXPECT_THAT(ended_, ElementsAre("probe: deadline_exceeded"));
}

TEST_F(CallTableTest, RepeatsAPatientCallOnlyWhenItMustBeLost) {
  Start("many", Manner::kPatiently, kSilence * 10);
  Pass(kSilence * 2);
  EXPECT_THAT(ended_, IsEmpty()) << "a busy broker is not away";
  const std::vector<Message> before = sent_;
  EXPECT_EQ(std::ranges::count(Sent(), "many"), 1);
  // The broker has answered a ping that came behind the call: it never got the call.
  Answer(before.back().id);
  Pass(kRepeat);
  EXPECT_THAT(Sent(), ElementsAre("many"));
  // That ping was sent before the repetition, and says nothing about it.
  Pass(kRepeat);
  EXPECT_THAT(Sent(), ElementsAre("ping"));
  Pass(kSilence * 10);
  EXPECT_THAT(ended_, ElementsAre("many: broker_unavailable"));
}

TEST_F(CallTableTest, KeepsCallsInOrderUntilTheConnectionTakesThem) {
  takes_ = false;
  Start("a", Manner::kRepeated);
  Start("b", Manner::kRepeated);
  EXPECT_TRUE(table_.HasUnsent());
  takes_ = true;
  Start("c", Manner::kRepeated);
  EXPECT_THAT(Sent(), IsEmpty()) << "c must not overtake";
  table_.OnWritable();
  EXPECT_THAT(Sent(), ElementsAre("a", "b", "c"));
  EXPECT_FALSE(table_.HasUnsent());
}

TEST_F(CallTableTest, SendsNothingOldOnceTheConnectionIsBack) {
  takes_ = false;
  Start("old", Manner::kRepeated);
  Pass(kSilence);
  EXPECT_THAT(ended_, ElementsAre("old: broker_unavailable"));
  EXPECT_FALSE(table_.HasUnsent());
  Start("new", Manner::kRepeated);
  takes_ = true;
  table_.OnWritable();
  EXPECT_THAT(Sent(), ElementsAre("new"));
}

TEST_F(CallTableTest, TakesAMalformedReplyForASignOfLife) {
  Start("probe", Manner::kOnce, kSilence * 3);
  Pass(kSilence - kRepeat / 2);
  table_.OnReply({"nonsense"});
  Pass(kRepeat);
  EXPECT_THAT(ended_, IsEmpty());
  Pass(kSilence);
  EXPECT_THAT(ended_, ElementsAre("probe: broker_unavailable"));
}

TEST_F(CallTableTest, PassesErrorsOn) {
  const std::string id = Start("a", Manner::kRepeated);
  table_.OnReply(EncodeMessage(ErrorReply(id, Error(ErrorCode::kQueueFull, "full"))));
  EXPECT_THAT(ended_, ElementsAre("a: queue_full"));
}

TEST_F(CallTableTest, OutlivesACallbackThatThrows) {
  auto bad = std::make_shared<PendingCall>(
      "bad", nlohmann::json::object(), Manner::kRepeated,
      [](const BrokerReply&) { throw std::runtime_error("bad callback"); });
  bad->started = clock_.Now();
  bad->deadline = bad->started + kSilence;
  const std::string id = bad->id;
  table_.Start(std::move(bad));
  Answer(id);
  Answer(Start("good", Manner::kRepeated));
  EXPECT_THAT(ended_, ElementsAre("good: ok"));
}

TEST_F(CallTableTest, EndsAllCallsAtOnce) {
  Start("a", Manner::kRepeated);
  Start("b", Manner::kOnce);
  table_.EndAll(Error(ErrorCode::kDraining, "going"));
  EXPECT_THAT(ended_, testing::UnorderedElementsAre("a: draining", "b: draining"));
}

}  // namespace
}  // namespace millrace::api
