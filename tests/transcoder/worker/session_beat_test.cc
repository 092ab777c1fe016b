#include <array>
#include <utility>

#include "tests/transcoder/worker/session_fixture.h"

namespace millrace::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class SessionBeatTest : public SessionTest {};

// --- Registering ---------------------------------------------------------------------------------

TEST_F(SessionBeatTest, RegistersWhenConnectedAndRepeatsItEachSecondUntilAnswered) {
  session_.OnConnected();
  const auto first = transport_.Take(message::kRegister);
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].body.at("name"), "host/1");
  EXPECT_EQ(first[0].body.at("instance"), "wrk_1");
  EXPECT_EQ(first[0].body.at("slots"), 2);
  EXPECT_EQ(first[0].body.at("probe_slots"), 1);
  EXPECT_EQ(first[0].body.at("encoders"), nlohmann::json({"h264"}));
  EXPECT_EQ(first[0].body.at("labels").at("zone"), "a");
  EXPECT_THAT(first[0].body.at("running"), IsEmpty());
  Pass(999ms);
  EXPECT_THAT(transport_.Take(message::kRegister), IsEmpty());
  Pass(1ms);
  const auto second = transport_.Take(message::kRegister);
  ASSERT_THAT(second, SizeIs(1));
  AnswerRegister(second[0]);
  Pass(1s);
  EXPECT_THAT(transport_.Take(message::kRegister), IsEmpty());
}

TEST_F(SessionBeatTest, RegistersAgainListingItsFencesWhenTheBrokerDoesNotKnowIt) {
  Register();
  Assign(kLease);
  session_.OnProgress(kLease, At(42));
  Receive(message::kUnknownWorker, {});
  const auto asked = transport_.Take(message::kRegister);
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_THAT(LeasesIn(asked[0].body.at("running")), ElementsAre(kLease));
  EXPECT_EQ(asked[0].body.at("running").at(0).at("progress"), ToJson(At(42)));
  EXPECT_THAT(host_.stopped, IsEmpty());
  AnswerRegister(asked[0], {kLease});
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
  Stopped(kLease);
  EXPECT_THAT(transport_.Take(message::kReleased), IsEmpty());
}

TEST_F(SessionBeatTest, AsksTheBrokerAtOnceAfterAReconnection) {
  Register();
  session_.OnConnected();
  EXPECT_THAT(transport_.Take(message::kBeat), SizeIs(1));
}

// --- Beats ---------------------------------------------------------------------------------------

TEST_F(SessionBeatTest, BeatsAtEachChangeButAtMostFiveTimesASecond) {
  Register();
  Assign(kLease);
  PassAnswering(1s);
  int beats = 0;
  for (int i = 0; i < 100; ++i) {
    session_.OnProgress(kLease, At(i));
    Pass(10ms);
    beats += static_cast<int>(transport_.Take(message::kBeat).size());
  }
  EXPECT_EQ(beats, 5);
}

TEST_F(SessionBeatTest, TellsTheFirstTwoPhasesOfAnEncoderAtOnce) {
  Register();
  Pass(1s);
  Assign(kLease);
  const auto beats_of = [this](const std::string& phase) {
    session_.OnProgress(kLease, At(0, phase));
    Pass(10ms);
    return transport_.Take(message::kBeat).size();
  };
  EXPECT_THAT(transport_.Take(message::kBeat), SizeIs(1));
  EXPECT_EQ(beats_of("probing"), 1);
  EXPECT_EQ(beats_of("transcoding"), 1);
  EXPECT_EQ(beats_of("finalizing"), 0);
}

TEST_F(SessionBeatTest, BeatsSeldomWithoutChange) {
  Register();
  Assign(kLease);
  session_.OnProgress(kLease, At(3));
  PassAnswering(1s);
  Progress same = At(3);
  same.frames = 1000;
  session_.OnProgress(kLease, same);
  Pass(3900ms);
  EXPECT_THAT(transport_.Take(message::kBeat), IsEmpty());
  Pass(1s);
  const auto beats = transport_.Take(message::kBeat);
  ASSERT_THAT(beats, SizeIs(1));
  EXPECT_EQ(beats[0].body.at("tasks").at(0).at("progress").at("frames"), 1000);
}

TEST_F(SessionBeatTest, ListsANewLeaseWithinAFifthOfASecond) {
  Register();
  Pass(1s);
  Assign(kLease);
  const auto beats = transport_.Take(message::kBeat);
  ASSERT_THAT(beats, SizeIs(1));
  EXPECT_EQ(beats[0].body.at("tasks").at(0).at("fence"), 7);
}

TEST_F(SessionBeatTest, SendsTheMediaUntilABeatWithThemIsAnswered) {
  Register();
  Assign(kLease);
  session_.OnMedia(kLease, {{"format", "mov"}});
  const Message lost = NextBeat();
  EXPECT_TRUE(lost.body.at("tasks").at(0).contains("media"));
  const Message answered = NextBeat();
  EXPECT_TRUE(answered.body.at("tasks").at(0).contains("media"));
  AnswerBeat(answered);
  const Message later = NextBeat();
  EXPECT_FALSE(later.body.at("tasks").at(0).contains("media"));
  // A restarted broker has forgotten it.
  Receive(message::kUnknownWorker, {});
  AnswerRegister(transport_.Take(message::kRegister).at(0));
  EXPECT_TRUE(NextBeat().body.at("tasks").at(0).contains("media"));
}

TEST_F(SessionBeatTest, SplitsLargeMediaOfSeveralTasksOverSeveralBeats) {
  Register();
  const std::array leases{kLease, Lease{.task = "tsk_b", .fence = 8}};
  for (const Lease& lease : leases) {
    Assign(lease);
    session_.OnMedia(lease, std::string(kMaxBodyBytes / 7, 'x'));
  }
  const auto carry = [](const Message& beat) {
    std::vector<bool> carries;
    for (const auto& task : beat.body.at("tasks")) carries.push_back(task.contains("media"));
    return carries;
  };
  EXPECT_THAT(carry(NextBeat()), ElementsAre(true, false));
  const Message first = NextBeat();
  EXPECT_THAT(carry(first), ElementsAre(true, false));
  AnswerBeat(first);
  const Message second = NextBeat();
  EXPECT_THAT(carry(second), ElementsAre(false, true));
  AnswerBeat(second);
  EXPECT_THAT(carry(NextBeat()), ElementsAre(false, false));
}

// --- The end of a lease --------------------------------------------------------------------------

TEST_F(SessionBeatTest, StopsItsTasksOneLeaseAfterItSentTheLastAnsweredBeat) {
  Register();
  Assign(kLease);
  const Message answered = NextBeat();
  Pass(2s);
  AnswerBeat(answered);  // the answer took two seconds, which do not count
  Pass(27999ms);
  EXPECT_THAT(host_.stopped, IsEmpty());
  EXPECT_EQ(transport_.reconnects, 0);
  transport_.sent.clear();
  Pass(1ms);
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
  EXPECT_EQ(transport_.reconnects, 1);
  const auto asked = transport_.Take(message::kRegister);
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_THAT(asked[0].body.at("running"), IsEmpty());
  Stopped(kLease);
  EXPECT_THAT(transport_.Take(message::kReleased), IsEmpty());
}

TEST_F(SessionBeatTest, KeepsFinishedTasksWhileTheBrokerIsAway) {
  Register();
  Assign(kLease);
  Finish(kLease);
  transport_.Take(message::kFinished);
  Pass(31s);
  EXPECT_THAT(host_.discarded, IsEmpty());
  const auto asked = transport_.Take(message::kRegister);
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_THAT(LeasesIn(asked[0].body.at("running")), ElementsAre(kLease));
  AnswerRegister(asked[0]);
  EXPECT_THAT(transport_.Take(message::kFinished), SizeIs(1));
}

TEST_F(SessionBeatTest, DoesNotRenewItsLeaseByAnAnswerToNoQuestion) {
  Register();
  Assign(kLease);
  Pass(20s);
  Receive(message::kOrders,
          {{"cancel", nlohmann::json::array()}, {"lost", nlohmann::json::array()}}, "msg_stranger");
  Pass(10s);
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
}

TEST_F(SessionBeatTest, StopsTasksWhoseLeaseTheBrokerCallsLost) {
  Register();
  Assign(kLease);
  Assign(kOther);
  AnswerBeat(NextBeat(), {}, {kLease});
  Receive(message::kLeaseLost, ToJson(kOther), "msg_of_started");
  EXPECT_THAT(host_.stopped, ElementsAre(kLease, kOther));
}

TEST_F(SessionBeatTest, MakesANewConnectionAgainAndAgainWhileTheBrokerIsAway) {
  Register();
  for (int i = 0; i < 3; ++i) Pass(30s);
  EXPECT_EQ(transport_.reconnects, 3);
}

// --- Nonsense ------------------------------------------------------------------------------------

TEST_F(SessionBeatTest, IsNotDisturbedByMalformedMessages) {
  Register();
  Assign(kLease);
  const auto nonsense = std::to_array<std::pair<std::string_view, nlohmann::json>>(
      {{"assign", nlohmann::json::object()},
       {"assign", {{"task", "../../etc"}, {"fence", 1}}},
       {"orders", {{"cancel", {1, 2}}}},
       {"orders", {{"lost", "x"}}},
       {"cancel", {{"task", 1}}},
       {"probe", {{"probe", 1}}},
       {"lease_lost", nlohmann::json::object()},
       {"registered", nlohmann::json::object()},
       {"error", {{"code", 5}}},
       {"strange", nlohmann::json::object()}});
  for (const auto& [type, body] : nonsense) Receive(type, body);
  EXPECT_THAT(host_.started, ElementsAre(kLease));
  EXPECT_THAT(host_.stopped, IsEmpty());
  PassAnswering(60s);
  EXPECT_THAT(host_.stopped, IsEmpty());
}

TEST_F(SessionBeatTest, AlwaysKnowsWhenItMustBeCalledNext) {
  Register();
  Assign(kLease);
  // Each step goes to the moment that the session names; none may come twice without effect.
  for (int i = 0; i < 1000; ++i) {
    const MonotonicTime next = session_.NextDeadline();
    ASSERT_GT(next, clock_.Now());
    Pass(std::chrono::ceil<std::chrono::milliseconds>(next - clock_.Now()));
  }
}

}  // namespace
}  // namespace millrace::worker
