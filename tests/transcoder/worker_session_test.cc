#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/job.h"
#include "tests/fakes/fake_clock.h"
#include "tests/transcoder/worker_samples.h"
#include "transcoder/worker/session.h"

namespace millrace {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

const Lease kLease{"tsk_a", 7};
const Lease kOther{"tsk_b", 8};

class FakeTransport final : public BrokerTransport {
 public:
  void Send(const Message& message) override { sent.push_back(message); }
  void Reconnect() override { ++reconnects; }

  // The messages of a type since the last call for that type.
  std::vector<Message> Take(std::string_view type) {
    std::vector<Message> taken;
    std::erase_if(sent, [&](const Message& message) {
      if (message.type != type) return false;
      taken.push_back(message);
      return true;
    });
    return taken;
  }

  std::vector<Message> sent;
  int reconnects = 0;
};

class FakeHost final : public TaskHost {
 public:
  void Start(const Assignment& assignment) override { started.push_back(assignment.lease); }
  void StartProbe(const ProbeOrder& order) override { probes.push_back(order.probe); }
  void Stop(const Lease& lease) override { stopped.push_back(lease); }
  void Discard(const Lease& lease) override { discarded.push_back(lease); }

  std::vector<Lease> started;
  std::vector<std::string> probes;
  std::vector<Lease> stopped;
  std::vector<Lease> discarded;
};

Progress At(int percent, const std::string& phase = "transcoding") {
  Progress progress;
  progress.percent = percent;
  progress.phase = phase;
  return progress;
}

// A session that talks to this test as its broker: a lease of 30 s, a beat each 5 s.
class SessionTest : public testing::Test {
 protected:
  static WorkerFacts Facts() {
    return {.name = "host/1",
            .instance = "wrk_1",
            .slots = 2,
            .probe_slots = 1,
            .encoders = {"h264"},
            .cores = 4,
            .memory_bytes = 1 << 30,
            .labels = {{"zone", "a"}},
            .versions = {{"ffmpeg", "5.1"}}};
  }

  void Receive(std::string_view type, nlohmann::json body, const std::string& id = "msg_x") {
    session_.OnMessage({.type = std::string(type), .id = id, .body = std::move(body)});
    session_.Tick();
  }
  void Pass(std::chrono::milliseconds time) {
    clock_.Advance(time);
    session_.Tick();
  }
  // Lets time pass in the steps that the session asks for, answering its beats.
  void PassAnswering(std::chrono::milliseconds time) {
    const MonotonicTime end = clock_.Now() + time;
    while (clock_.Now() < end) {
      const auto next = std::clamp(session_.NextDeadline(), clock_.Now() + 1ms, end);
      Pass(std::chrono::ceil<std::chrono::milliseconds>(next - clock_.Now()));
      for (const Message& beat : transport_.Take(worker::kBeat)) AnswerBeat(beat);
    }
  }

  void Register() {
    session_.OnConnected();
    const auto asked = transport_.Take(worker::kRegister);
    ASSERT_THAT(asked, SizeIs(1));
    AnswerRegister(asked[0]);
  }
  void AnswerRegister(const Message& asked, const std::vector<Lease>& lost = {}) {
    nlohmann::json list = nlohmann::json::array();
    for (const Lease& lease : lost) list.push_back(ToJson(lease));
    Receive(worker::kRegistered, {{"lease_seconds", 30}, {"beat_seconds", 5}, {"lost", list}},
            asked.id);
  }
  void AnswerBeat(const Message& beat, const std::vector<Lease>& cancel = {},
                  const std::vector<Lease>& lost = {}) {
    nlohmann::json body = {{"cancel", nlohmann::json::array()}, {"lost", nlohmann::json::array()}};
    for (const Lease& lease : cancel) body["cancel"].push_back(ToJson(lease));
    for (const Lease& lease : lost) body["lost"].push_back(ToJson(lease));
    Receive(worker::kOrders, body, beat.id);
  }
  // What is said when nothing changes; earlier beats are taken for lost.
  Message NextBeat() {
    transport_.Take(worker::kBeat);
    Pass(5s);
    const auto beats = transport_.Take(worker::kBeat);
    EXPECT_THAT(beats, SizeIs(1));
    return beats.empty() ? Message{} : beats.back();
  }

  void Assign(const Lease& lease) {
    Receive(worker::kAssign, AssignBody(lease, "upl_a", "film.mov"));
  }
  void Finish(const Lease& lease) {
    session_.OnFinished(lease, Manifest{}, ResourceUsage{});
    session_.Tick();
  }
  void Stopped(const Lease& lease) {
    session_.OnStopped(lease);
    session_.Tick();
  }
  void Fail(const Lease& lease) {
    session_.OnFailed(lease, {.error = Error(ErrorCode::kEncoderCrashed, "boom"),
                              .usage = {},
                              .log_tail = {"last words"}});
    session_.Tick();
  }
  void Probe(const std::string& id) {
    Receive(worker::kProbe, {{"probe", id},
                             {"input", ToJson(Input{.upload = "upl_a", .path = {}})},
                             {"input_name", "film.mov"},
                             {"deadline_ms", 2000}});
  }

  FakeClock clock_;
  FakeTransport transport_;
  FakeHost host_;
  Session session_{Facts(), 30s, clock_, transport_, host_};
};

// --- Registering ---------------------------------------------------------------------------------

TEST_F(SessionTest, RegistersWhenConnectedAndRepeatsItEachSecondUntilAnswered) {
  session_.OnConnected();
  const auto first = transport_.Take(worker::kRegister);
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].body.at("name"), "host/1");
  EXPECT_EQ(first[0].body.at("instance"), "wrk_1");
  EXPECT_EQ(first[0].body.at("slots"), 2);
  EXPECT_EQ(first[0].body.at("probe_slots"), 1);
  EXPECT_EQ(first[0].body.at("encoders"), nlohmann::json({"h264"}));
  EXPECT_EQ(first[0].body.at("labels").at("zone"), "a");
  EXPECT_THAT(first[0].body.at("running"), IsEmpty());
  Pass(999ms);
  EXPECT_THAT(transport_.Take(worker::kRegister), IsEmpty());
  Pass(1ms);
  const auto second = transport_.Take(worker::kRegister);
  ASSERT_THAT(second, SizeIs(1));
  AnswerRegister(second[0]);
  Pass(1s);
  EXPECT_THAT(transport_.Take(worker::kRegister), IsEmpty());
}

TEST_F(SessionTest, RegistersAgainListingItsFencesWhenTheBrokerDoesNotKnowIt) {
  Register();
  Assign(kLease);
  Receive(worker::kUnknownWorker, {});
  const auto asked = transport_.Take(worker::kRegister);
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_EQ(asked[0].body.at("running"), nlohmann::json::array({ToJson(kLease)}));
  EXPECT_THAT(host_.stopped, IsEmpty());
  AnswerRegister(asked[0], {kLease});
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
  Stopped(kLease);
  EXPECT_THAT(transport_.Take(worker::kReleased), IsEmpty());
}

TEST_F(SessionTest, AsksTheBrokerAtOnceAfterAReconnection) {
  Register();
  session_.OnConnected();
  EXPECT_THAT(transport_.Take(worker::kBeat), SizeIs(1));
}

// --- Beats ---------------------------------------------------------------------------------------

TEST_F(SessionTest, BeatsAtEachChangeButAtMostFiveTimesASecond) {
  Register();
  Assign(kLease);
  PassAnswering(1s);
  int beats = 0;
  for (int i = 0; i < 100; ++i) {
    session_.OnProgress(kLease, At(i));
    Pass(10ms);
    beats += static_cast<int>(transport_.Take(worker::kBeat).size());
  }
  EXPECT_EQ(beats, 5);
}

TEST_F(SessionTest, BeatsSeldomWithoutChange) {
  Register();
  Assign(kLease);
  session_.OnProgress(kLease, At(3));
  PassAnswering(1s);
  Progress same = At(3);
  same.frames = 1000;
  session_.OnProgress(kLease, same);
  Pass(3900ms);
  EXPECT_THAT(transport_.Take(worker::kBeat), IsEmpty());
  Pass(1s);
  const auto beats = transport_.Take(worker::kBeat);
  ASSERT_THAT(beats, SizeIs(1));
  EXPECT_EQ(beats[0].body.at("tasks").at(0).at("progress").at("frames"), 1000);
}

TEST_F(SessionTest, ListsANewLeaseWithinAFifthOfASecond) {
  Register();
  Pass(1s);
  Assign(kLease);
  const auto beats = transport_.Take(worker::kBeat);
  ASSERT_THAT(beats, SizeIs(1));
  EXPECT_EQ(beats[0].body.at("tasks").at(0).at("fence"), 7);
}

TEST_F(SessionTest, TellsTheMediaUntilABeatWithItWasAnswered) {
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
  Receive(worker::kUnknownWorker, {});
  AnswerRegister(transport_.Take(worker::kRegister).at(0));
  EXPECT_TRUE(NextBeat().body.at("tasks").at(0).contains("media"));
}

// --- Tasks ---------------------------------------------------------------------------------------

TEST_F(SessionTest, StartsAnAssignmentOnceHoweverOftenItComes) {
  Register();
  Assign(kLease);
  Assign(kLease);
  EXPECT_THAT(host_.started, ElementsAre(kLease));
  session_.OnStarted(kLease);
  EXPECT_THAT(transport_.Take(worker::kStarted), SizeIs(1));
  Finish(kLease);
  Assign(kLease);
  const auto reports = transport_.Take(worker::kFinished);
  ASSERT_THAT(reports, SizeIs(1));
  Receive(worker::kAck, {}, reports[0].id);
  Assign(kLease);
  EXPECT_THAT(host_.started, ElementsAre(kLease));
}

TEST_F(SessionTest, FailsAnAssignmentThatItDoesNotUnderstand) {
  Register();
  nlohmann::json body = AssignBody(kLease, "upl_a", "film.mov");
  body["spec"] = {{"outputs", {{{"name", "movie"}, {"hologram", true}}}}};
  Receive(worker::kAssign, body);
  EXPECT_THAT(host_.started, IsEmpty());
  EXPECT_THAT(transport_.Take(worker::kFailed), SizeIs(1));
}

TEST_F(SessionTest, GivesBackWhatExceedsItsSlots) {
  Register();
  Assign({"tsk_1", 1});
  Assign({"tsk_2", 2});
  Assign({"tsk_3", 3});
  EXPECT_THAT(host_.started, SizeIs(2));
  const auto released = transport_.Take(worker::kReleased);
  ASSERT_THAT(released, SizeIs(1));
  EXPECT_EQ(released[0].body.at("fence"), 3);
}

TEST_F(SessionTest, ANewLeaseOfATaskEndsTheOlderOne) {
  Register();
  Assign({"tsk_a", 7});
  Assign({"tsk_a", 9});
  EXPECT_THAT(host_.stopped, ElementsAre(Lease{"tsk_a", 7}));
  EXPECT_THAT(host_.started, ElementsAre(Lease{"tsk_a", 7}, Lease{"tsk_a", 9}));
}

TEST_F(SessionTest, RepeatsAReportEachSecondUntilItIsAcknowledged) {
  Register();
  Assign(kLease);
  Finish(kLease);
  const auto first = transport_.Take(worker::kFinished);
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].body.at("fence"), 7);
  EXPECT_EQ(first[0].body.at("instance"), "wrk_1");
  Pass(1s);
  const auto second = transport_.Take(worker::kFinished);
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].id, first[0].id);
  Receive(worker::kAck, {}, first[0].id);
  Pass(2s);
  EXPECT_THAT(transport_.Take(worker::kFinished), IsEmpty());
  EXPECT_THAT(host_.discarded, IsEmpty()) << "the broker publishes these files";
  EXPECT_THAT(NextBeat().body.at("tasks"), IsEmpty());
}

TEST_F(SessionTest, HoldsAReportBackUntilARestartedBrokerKnowsTheWorker) {
  Register();
  Assign(kLease);
  Receive(worker::kUnknownWorker, {});
  Fail(kLease);
  EXPECT_THAT(transport_.Take(worker::kFailed), IsEmpty());
  const auto asked = transport_.Take(worker::kRegister);
  ASSERT_THAT(asked, SizeIs(1));
  AnswerRegister(asked[0]);
  const auto reports = transport_.Take(worker::kFailed);
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_EQ(reports[0].body.at("failure").at("error").at("code"), "encoder_crashed");
  EXPECT_EQ(reports[0].body.at("failure").at("log_tail"), nlohmann::json({"last words"}));
}

TEST_F(SessionTest, DiscardsTheFilesOfAReportThatCameTooLate) {
  Register();
  Assign(kLease);
  Finish(kLease);
  const auto reports = transport_.Take(worker::kFinished);
  ASSERT_THAT(reports, SizeIs(1));
  Receive(worker::kLeaseLost, ToJson(kLease), reports[0].id);
  EXPECT_THAT(host_.discarded, ElementsAre(kLease));
  Pass(2s);
  EXPECT_THAT(transport_.Take(worker::kFinished), IsEmpty());
}

TEST_F(SessionTest, WaitsForTheAnswerToAReportWhateverElseIsSaidOfItsLease) {
  Register();
  Assign(kLease);
  Finish(kLease);
  Receive(worker::kLeaseLost, ToJson(kLease), "msg_of_started");
  AnswerBeat(NextBeat(), {}, {kLease});
  EXPECT_THAT(host_.discarded, IsEmpty());
  EXPECT_THAT(transport_.Take(worker::kFinished), SizeIs(2));
}

TEST_F(SessionTest, FailsATaskWhoseResultTheBrokerCannotUnderstand) {
  Register();
  Assign(kLease);
  Finish(kLease);
  const auto reports = transport_.Take(worker::kFinished);
  ASSERT_THAT(reports, SizeIs(1));
  Receive(worker::kError, {{"code", "storage_full"}, {"detail", "later"}}, reports[0].id);
  EXPECT_THAT(transport_.Take(worker::kFailed), IsEmpty());
  Receive(worker::kError, {{"code", "protocol_error"}, {"detail", "too long"}}, reports[0].id);
  EXPECT_THAT(transport_.Take(worker::kFailed), SizeIs(1));
  EXPECT_THAT(host_.discarded, ElementsAre(kLease));
}

// --- Cancel --------------------------------------------------------------------------------------

TEST_F(SessionTest, StopsACancelledTaskAndSaysSoUntilAcknowledged) {
  Register();
  Assign(kLease);
  Receive(worker::kCancel, ToJson(kLease));
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
  EXPECT_THAT(transport_.Take(worker::kReleased), IsEmpty());
  AnswerBeat(NextBeat(), {kLease});
  EXPECT_THAT(host_.stopped, ElementsAre(kLease)) << "once is enough";
  Stopped(kLease);
  const auto first = transport_.Take(worker::kReleased);
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].body.at("reason"), "cancelled");
  Pass(1s);
  EXPECT_THAT(transport_.Take(worker::kReleased), SizeIs(1));
  Receive(worker::kAck, {}, first[0].id);
  Pass(1s);
  EXPECT_THAT(transport_.Take(worker::kReleased), IsEmpty());
}

TEST_F(SessionTest, ReleasesACancelledTaskThatFinishedAtTheSameTime) {
  Register();
  Assign(kLease);
  Assign(kOther);
  Finish(kLease);  // before the order came
  Receive(worker::kCancel, ToJson(kLease));
  Receive(worker::kCancel, ToJson(kOther));
  Finish(kOther);  // after
  EXPECT_THAT(transport_.Take(worker::kReleased), SizeIs(2));
  EXPECT_THAT(host_.discarded, ElementsAre(kLease, kOther));
}

TEST_F(SessionTest, ReleasesACancelledTaskThatItDoesNotHave) {
  Register();
  Receive(worker::kCancel, ToJson(kLease));
  EXPECT_THAT(transport_.Take(worker::kReleased), SizeIs(1));
}

// --- The end of a lease --------------------------------------------------------------------------

TEST_F(SessionTest, StopsItsTasksWhenALeasePassesSinceTheAnsweredBeatWasSent) {
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
  const auto asked = transport_.Take(worker::kRegister);
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_THAT(asked[0].body.at("running"), IsEmpty());
  Stopped(kLease);
  EXPECT_THAT(transport_.Take(worker::kReleased), IsEmpty());
}

TEST_F(SessionTest, KeepsWhatIsFinishedWhenTheBrokerIsAwayForLong) {
  Register();
  Assign(kLease);
  Finish(kLease);
  transport_.Take(worker::kFinished);
  Pass(31s);
  EXPECT_THAT(host_.discarded, IsEmpty());
  const auto asked = transport_.Take(worker::kRegister);
  ASSERT_THAT(asked, SizeIs(1));
  EXPECT_EQ(asked[0].body.at("running"), nlohmann::json::array({ToJson(kLease)}));
  AnswerRegister(asked[0]);
  EXPECT_THAT(transport_.Take(worker::kFinished), SizeIs(1));
}

TEST_F(SessionTest, AnAnswerToNothingItAskedDoesNotProlongTheLease) {
  Register();
  Assign(kLease);
  Pass(20s);
  Receive(worker::kOrders, {{"cancel", nlohmann::json::array()}, {"lost", nlohmann::json::array()}},
          "msg_stranger");
  Pass(10s);
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
}

TEST_F(SessionTest, StopsWhatTheBrokerSaysIsLost) {
  Register();
  Assign(kLease);
  Assign(kOther);
  AnswerBeat(NextBeat(), {}, {kLease});
  Receive(worker::kLeaseLost, ToJson(kOther), "msg_of_started");
  EXPECT_THAT(host_.stopped, ElementsAre(kLease, kOther));
}

TEST_F(SessionTest, MakesANewConnectionAgainAndAgainWhileTheBrokerIsAway) {
  Register();
  for (int i = 0; i < 3; ++i) Pass(30s);
  EXPECT_EQ(transport_.reconnects, 3);
}

// --- Probes --------------------------------------------------------------------------------------

TEST_F(SessionTest, AnswersProbesAndRefusesMoreThanItHasSlotsFor) {
  Register();
  Probe("prb_1");
  Probe("prb_1");
  Probe("prb_2");
  EXPECT_THAT(host_.probes, ElementsAre("prb_1"));
  auto answers = transport_.Take(worker::kProbed);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].body.at("probe"), "prb_2");
  EXPECT_EQ(answers[0].body.at("error").at("code"), "no_worker");
  session_.OnProbed("prb_1", {{"format", "mov"}});
  answers = transport_.Take(worker::kProbed);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].body.at("media").at("format"), "mov");
  Probe("prb_3");
  session_.OnProbeFailed("prb_3", Error(ErrorCode::kNotMedia, "text"));
  answers = transport_.Take(worker::kProbed);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].body.at("error").at("code"), "not_media");
}

// --- Draining ------------------------------------------------------------------------------------

TEST_F(SessionTest, LetsItsTasksFinishTakesNothingNewAndSaysGoodbye) {
  Register();
  Assign(kLease);
  transport_.Take(worker::kBeat);
  session_.Drain();
  const auto beats = transport_.Take(worker::kBeat);
  ASSERT_THAT(beats, SizeIs(1));
  EXPECT_EQ(beats[0].body.at("draining"), true);
  Assign(kOther);
  EXPECT_THAT(host_.started, ElementsAre(kLease));
  ASSERT_THAT(transport_.Take(worker::kReleased), SizeIs(1));
  Probe("prb_1");
  EXPECT_THAT(host_.probes, IsEmpty());
  Finish(kLease);
  EXPECT_THAT(transport_.Take(worker::kGoodbye), IsEmpty());
  Receive(worker::kAck, {}, transport_.Take(worker::kFinished).at(0).id);
  const auto goodbye = transport_.Take(worker::kGoodbye);
  ASSERT_THAT(goodbye, SizeIs(1));
  EXPECT_FALSE(session_.left());
  Receive(worker::kAck, {}, goodbye[0].id);
  EXPECT_TRUE(session_.left());
  EXPECT_THAT(host_.stopped, IsEmpty());
}

TEST_F(SessionTest, ReleasesWhatIsNotDoneAfterTheDrainTimeout) {
  Register();
  Assign(kLease);
  session_.Drain();
  PassAnswering(29s);
  EXPECT_THAT(host_.stopped, IsEmpty());
  PassAnswering(1s);
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
  Stopped(kLease);
  const auto released = transport_.Take(worker::kReleased);
  ASSERT_THAT(released, SizeIs(1));
  EXPECT_EQ(released[0].body.at("reason"), "draining");
  Receive(worker::kAck, {}, released[0].id);
  EXPECT_THAT(transport_.Take(worker::kGoodbye), SizeIs(1));
}

TEST_F(SessionTest, ReleasesAtOnceWhenToldTwice) {
  Register();
  Assign(kLease);
  session_.Drain();
  session_.Drain();
  session_.Tick();
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
}

TEST_F(SessionTest, LeavesABrokerThatDoesNotAnswer) {
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

TEST_F(SessionTest, LeavesAtOnceIfNoBrokerKnowsIt) {
  session_.Drain();
  session_.Tick();
  session_.Tick();
  EXPECT_TRUE(session_.left());
}

// --- Nonsense ------------------------------------------------------------------------------------

TEST_F(SessionTest, IsNotDisturbedByMalformedMessages) {
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

TEST_F(SessionTest, AlwaysKnowsWhenItMustBeCalledNext) {
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
}  // namespace millrace
