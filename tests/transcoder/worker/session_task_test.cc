#include "tests/transcoder/worker/session_fixture.h"

namespace millrace::worker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class SessionTaskTest : public SessionTest {};

// --- Tasks ---------------------------------------------------------------------------------------

TEST_F(SessionTaskTest, StartsAnAssignmentOnceHoweverOftenItComes) {
  Register();
  Assign(kLease);
  Assign(kLease);
  EXPECT_THAT(host_.started, ElementsAre(kLease));
  session_.OnStarted(kLease);
  EXPECT_THAT(transport_.Take(message::kStarted), SizeIs(1));
  Finish(kLease);
  Assign(kLease);
  const auto reports = transport_.Take(message::kFinished);
  ASSERT_THAT(reports, SizeIs(1));
  Receive(message::kAck, {}, reports[0].id);
  Assign(kLease);
  EXPECT_THAT(host_.started, ElementsAre(kLease));
}

TEST_F(SessionTaskTest, FailsAnAssignmentThatItDoesNotUnderstand) {
  Register();
  nlohmann::json body = AssignBody(kLease, "upl_a", "film.mov");
  body["spec"] = {{"outputs", {{{"name", "movie"}, {"hologram", true}}}}};
  Receive(message::kAssign, body);
  EXPECT_THAT(host_.started, IsEmpty());
  EXPECT_THAT(transport_.Take(message::kFailed), SizeIs(1));
}

TEST_F(SessionTaskTest, GivesBackTasksBeyondItsSlots) {
  Register();
  Assign({"tsk_1", 1});
  Assign({"tsk_2", 2});
  Assign({"tsk_3", 3});
  EXPECT_THAT(host_.started, SizeIs(2));
  const auto released = transport_.Take(message::kReleased);
  ASSERT_THAT(released, SizeIs(1));
  EXPECT_EQ(released[0].body.at("fence"), 3);
}

TEST_F(SessionTaskTest, ANewLeaseOfATaskEndsTheOlderOne) {
  Register();
  Assign({"tsk_a", 7});
  Assign({"tsk_a", 9});
  EXPECT_THAT(host_.stopped, ElementsAre(Lease{"tsk_a", 7}));
  EXPECT_THAT(host_.started, ElementsAre(Lease{"tsk_a", 7}, Lease{"tsk_a", 9}));
}

TEST_F(SessionTaskTest, RepeatsAReportEachSecondUntilItIsAcknowledged) {
  Register();
  Assign(kLease);
  Finish(kLease);
  const auto first = transport_.Take(message::kFinished);
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].body.at("fence"), 7);
  EXPECT_EQ(first[0].body.at("instance"), "wrk_1");
  Pass(1s);
  const auto second = transport_.Take(message::kFinished);
  ASSERT_THAT(second, SizeIs(1));
  EXPECT_EQ(second[0].id, first[0].id);
  Receive(message::kAck, {}, first[0].id);
  Pass(2s);
  EXPECT_THAT(transport_.Take(message::kFinished), IsEmpty());
  EXPECT_THAT(host_.discarded, IsEmpty()) << "the broker publishes these files";
  EXPECT_THAT(NextBeat().body.at("tasks"), IsEmpty());
}

TEST_F(SessionTaskTest, HoldsAReportBackUntilARestartedBrokerKnowsTheWorker) {
  Register();
  Assign(kLease);
  Receive(message::kUnknownWorker, {});
  Fail(kLease);
  EXPECT_THAT(transport_.Take(message::kFailed), IsEmpty());
  const auto asked = transport_.Take(message::kRegister);
  ASSERT_THAT(asked, SizeIs(1));
  AnswerRegister(asked[0]);
  const auto reports = transport_.Take(message::kFailed);
  ASSERT_THAT(reports, SizeIs(1));
  EXPECT_EQ(reports[0].body.at("failure").at("error").at("code"), "encoder_crashed");
  EXPECT_EQ(reports[0].body.at("failure").at("log_tail"), nlohmann::json({"last words"}));
}

TEST_F(SessionTaskTest, DiscardsTheFilesOfAReportThatCameTooLate) {
  Register();
  Assign(kLease);
  Finish(kLease);
  const auto reports = transport_.Take(message::kFinished);
  ASSERT_THAT(reports, SizeIs(1));
  Receive(message::kLeaseLost, ToJson(kLease), reports[0].id);
  EXPECT_THAT(host_.discarded, ElementsAre(kLease));
  Pass(2s);
  EXPECT_THAT(transport_.Take(message::kFinished), IsEmpty());
}

TEST_F(SessionTaskTest, WaitsForTheAnswerToAReportWhateverElseIsSaidOfItsLease) {
  Register();
  Assign(kLease);
  Finish(kLease);
  Receive(message::kLeaseLost, ToJson(kLease), "msg_of_started");
  AnswerBeat(NextBeat(), {}, {kLease});
  EXPECT_THAT(host_.discarded, IsEmpty());
  EXPECT_THAT(transport_.Take(message::kFinished), SizeIs(2));
}

TEST_F(SessionTaskTest, FailsATaskWhoseResultTheBrokerCannotUnderstand) {
  Register();
  Assign(kLease);
  Finish(kLease);
  const auto reports = transport_.Take(message::kFinished);
  ASSERT_THAT(reports, SizeIs(1));
  Receive(message::kError, {{"code", "storage_full"}, {"detail", "later"}}, reports[0].id);
  EXPECT_THAT(transport_.Take(message::kFailed), IsEmpty());
  Receive(message::kError, {{"code", "protocol_error"}, {"detail", "too long"}}, reports[0].id);
  EXPECT_THAT(transport_.Take(message::kFailed), SizeIs(1));
  EXPECT_THAT(host_.discarded, ElementsAre(kLease));
}

// --- Cancel --------------------------------------------------------------------------------------

TEST_F(SessionTaskTest, StopsACancelledTaskAndSaysSoUntilAcknowledged) {
  Register();
  Assign(kLease);
  Receive(message::kCancel, ToJson(kLease));
  EXPECT_THAT(host_.stopped, ElementsAre(kLease));
  EXPECT_THAT(transport_.Take(message::kReleased), IsEmpty());
  AnswerBeat(NextBeat(), {kLease});
  EXPECT_THAT(host_.stopped, ElementsAre(kLease)) << "once is enough";
  Stopped(kLease);
  const auto first = transport_.Take(message::kReleased);
  ASSERT_THAT(first, SizeIs(1));
  EXPECT_EQ(first[0].body.at("reason"), "cancelled");
  Pass(1s);
  EXPECT_THAT(transport_.Take(message::kReleased), SizeIs(1));
  Receive(message::kAck, {}, first[0].id);
  Pass(1s);
  EXPECT_THAT(transport_.Take(message::kReleased), IsEmpty());
}

TEST_F(SessionTaskTest, ReleasesACancelledTaskThatFinishedAtTheSameTime) {
  Register();
  Assign(kLease);
  Assign(kOther);
  Finish(kLease);  // before the order came
  Receive(message::kCancel, ToJson(kLease));
  Receive(message::kCancel, ToJson(kOther));
  Finish(kOther);  // after
  EXPECT_THAT(transport_.Take(message::kReleased), SizeIs(2));
  EXPECT_THAT(host_.discarded, ElementsAre(kLease, kOther));
}

TEST_F(SessionTaskTest, ReleasesACancelledTaskThatItDoesNotHave) {
  Register();
  Receive(message::kCancel, ToJson(kLease));
  EXPECT_THAT(transport_.Take(message::kReleased), SizeIs(1));
}

// --- Probes --------------------------------------------------------------------------------------

TEST_F(SessionTaskTest, AnswersProbesAndRefusesMoreThanItHasSlotsFor) {
  Register();
  Probe("prb_1");
  Probe("prb_1");
  Probe("prb_2");
  EXPECT_THAT(host_.probes, ElementsAre("prb_1"));
  auto answers = transport_.Take(message::kProbed);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].body.at("probe"), "prb_2");
  EXPECT_EQ(answers[0].body.at("error").at("code"), "no_worker");
  session_.OnProbed("prb_1", {{"format", "mov"}});
  answers = transport_.Take(message::kProbed);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].body.at("media").at("format"), "mov");
  Probe("prb_3");
  session_.OnProbeFailed("prb_3", Error(ErrorCode::kNotMedia, "text"));
  answers = transport_.Take(message::kProbed);
  ASSERT_THAT(answers, SizeIs(1));
  EXPECT_EQ(answers[0].body.at("error").at("code"), "not_media");
}

}  // namespace
}  // namespace millrace::worker
