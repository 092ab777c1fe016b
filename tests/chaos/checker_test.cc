#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/chaos/evidence.h"

// A checker that finds nothing proves nothing. Each test breaks one promise in otherwise correct
// evidence and names the rule that must report it.

namespace millrace::chaos {
namespace {

using nlohmann::json;
using testing::Contains;
using testing::Field;
using testing::IsEmpty;
using testing::Not;

const JobKind kGood = {.name = "good", .media = {}, .outputs = {}};
const JobKind kBad = {.name = "bad", .media = {}, .outputs = {}, .codes = {"not_media"}};

json Event(int64_t sequence, const std::string& event, const std::string& state,
           int generation = 1) {
  return {{"seq", sequence}, {"event", event}, {"state", state}, {"generation", generation}};
}

json Attempt(int64_t fence, const std::string& outcome, int signal = 0, int generation = 1,
             const std::string& task = "tsk_1") {
  json attempt = {{"fence", fence},
                  {"task", task},
                  {"outcome", outcome},
                  {"generation", generation},
                  {"worker", "w" + std::to_string(fence % 2)},
                  {"failure", nullptr}};
  if (outcome == "failed") {
    attempt["failure"] = {{"error", {{"code", "encoder_crashed"}}}, {"usage", json::object()}};
    if (signal != 0) attempt["failure"]["usage"]["signal"] = signal;
  }
  return attempt;
}

// The evidence: one job that succeeded (events 1 to 4, fence 1) and one that died for a valid
// reason (events 5 to 7, fence 2).
class CheckerTest : public testing::Test {
 protected:
  CheckerTest() {
    reference_.outputs["good"]["web.mp4"] = "aa";
    JobEvidence good;
    good.record = {.id = "job_1", .key = "k1", .kind = &kGood, .input_sha256 = "11"};
    good.job = {{"id", "job_1"},
                {"state", "succeeded"},
                {"generation", 1},
                {"progress", {{"percent", 100}}},
                {"max_attempts", 20}};
    good.attempts = json::array({Attempt(1, "succeeded")});
    good.events =
        json::array({Event(1, "submit", "queued"), Event(2, "start", "running"),
                     Event(3, "publish", "publishing"), Event(4, "published", "succeeded")});
    good.files = {{.path = "web.mp4", .claimed_sha256 = "aa", .sha256 = "aa", .decodes = true}};
    JobEvidence bad;
    bad.record = {.id = "job_2", .key = "k2", .kind = &kBad, .input_sha256 = "22"};
    bad.job = {{"id", "job_2"},      {"state", "dead"},
               {"generation", 1},    {"progress", {{"percent", 40}}},
               {"max_attempts", 20}, {"error", {{"code", "not_media"}}}};
    bad.attempts = json::array({Attempt(2, "failed")});
    bad.events = json::array(
        {Event(5, "submit", "queued"), Event(6, "start", "running"), Event(7, "bury", "dead")});
    const json names = {"input", "log-2.txt", "report.json", "repro.sh", "task.json"};
    json files = json::array();
    for (const json& name : names) files.push_back({{"name", name}});
    bad.dead_letter = {{"report",
                        {{"job", "job_2"},
                         {"generation", 1},
                         {"error", {{"code", "not_media"}}},
                         {"files", names},
                         {"attempts", json::array({{{"fence", 2}}})}}},
                       {"files", files}};
    bad.dead_input_sha256 = "22";
    evidence_.other_events = json::array();
    evidence_.jobs = {good, bad};
    evidence_.listed = json::array(
        {{{"id", "job_1"}, {"external_id", "k1"}}, {{"id", "job_2"}, {"external_id", "k2"}}});
  }

  JobEvidence& good() { return evidence_.jobs[0]; }
  JobEvidence& bad() { return evidence_.jobs[1]; }

  void ExpectViolated(const std::string& rule) {
    EXPECT_THAT(Check(evidence_, reference_), Contains(Field("rule", &Violation::rule, rule)));
  }

  Evidence evidence_;
  Reference reference_;
};

TEST_F(CheckerTest, FindsNothingWhereAllIsWell) {
  EXPECT_THAT(Check(evidence_, reference_), IsEmpty());
}

TEST_F(CheckerTest, NoticesALostJob) {
  good().job = nullptr;
  ExpectViolated("no acknowledged job is lost");
}

TEST_F(CheckerTest, NoticesAJobThatDoesNotEnd) {
  good().job["state"] = "running";
  ExpectViolated("each job ends");
}

TEST_F(CheckerTest, NoticesACancelledJobThatSucceeded) {
  good().record.cancel_acknowledged = true;
  ExpectViolated("what was cancelled ends cancelled");
}

TEST_F(CheckerTest, NoticesAJobThatNobodyCancelled) {
  good().job["state"] = "cancelled";
  ExpectViolated("nothing is cancelled unasked");
}

TEST_F(CheckerTest, NoticesThatBadMediaSucceeded) {
  good().record.kind = &kBad;
  ExpectViolated("bad media is no success");
}

TEST_F(CheckerTest, NoticesThatGoodMediaDied) {
  bad().record.kind = &kGood;
  ExpectViolated("good media succeeds and bad media says why");
}

TEST_F(CheckerTest, NoticesThatBadMediaDiedOfSomethingElse) {
  bad().job["error"]["code"] = bad().dead_letter["report"]["error"]["code"] = "internal";
  ExpectViolated("good media succeeds and bad media says why");
}

TEST_F(CheckerTest, NoticesAPercentageThatWasLostAtTheEnd) {
  bad().record.percents = {{1, 41}};
  ExpectViolated("percent never falls");
}

TEST_F(CheckerTest, NoticesADeadJobOfAHundredPercent) {
  bad().job["progress"]["percent"] = 100;
  ExpectViolated("100 percent means that the outputs are there");
}

TEST_F(CheckerTest, NoticesThatAFenceWasGivenOutTwice) {
  bad().attempts = json::array({Attempt(1, "failed")});
  ExpectViolated("a fence is given out once");
}

TEST_F(CheckerTest, NoticesThatAFenceFell) {
  bad().attempts = json::array({Attempt(3, "lost"), Attempt(2, "failed")});
  ExpectViolated("fences only grow");
}

TEST_F(CheckerTest, NoticesTwoAttemptsThatSucceeded) {
  good().attempts.push_back(Attempt(9, "succeeded"));
  ExpectViolated("a task is done by exactly one attempt");
}

TEST_F(CheckerTest, NoticesATaskOfAPublishedJobThatWasNotDone) {
  good().attempts.push_back(Attempt(9, "failed", 0, 1, "tsk_2"));
  ExpectViolated("a task is done by exactly one attempt");
}

TEST_F(CheckerTest, AcceptsThatEachTaskOfAJobIsDone) {
  good().attempts.push_back(Attempt(9, "succeeded", 0, 1, "tsk_2"));
  EXPECT_THAT(Check(evidence_, reference_), IsEmpty());
}

TEST_F(CheckerTest, AcceptsATaskThatWasDoneBeforeAnotherFailed) {
  bad().attempts.insert(bad().attempts.begin(), Attempt(0, "succeeded", 0, 1, "tsk_2"));
  EXPECT_THAT(
      Check(evidence_, reference_),
      Not(Contains(Field("rule", &Violation::rule, "a task is done by exactly one attempt"))));
}

TEST_F(CheckerTest, NoticesAJobThatSucceededUnattempted) {
  good().attempts = json::array();
  ExpectViolated("each job that succeeded was run");
}

TEST_F(CheckerTest, NoticesAnAttemptThatRunsOn) {
  good().attempts = json::array({Attempt(1, "succeeded"), Attempt(9, "running")});
  ExpectViolated("no attempt runs on when its job has ended");
}

TEST_F(CheckerTest, NoticesAGapInTheEvents) {
  good().events.erase(1);
  ExpectViolated("events have no gap");
}

TEST_F(CheckerTest, NoticesAnEventThatIsToldTwice) {
  good().events.push_back(good().events.back());
  ExpectViolated("events come in order, once each");
}

TEST_F(CheckerTest, NoticesTwoEventsOfOneNumber) {
  bad().events[0]["seq"] = 4;
  ExpectViolated("no two events have one number");
}

TEST_F(CheckerTest, NoticesAJobThatEndedTwice) {
  good().events.push_back(Event(8, "published", "succeeded"));
  ExpectViolated("a job ends once in each generation");
}

TEST_F(CheckerTest, NoticesEventsThatLackTheEnd) {
  good().events.erase(3);
  ExpectViolated("events tell the life of a job from its beginning to its state");
}

TEST_F(CheckerTest, NoticesAnOutputThatIsNotWhatTheJobSays) {
  good().files[0].sha256 = "bb";
  ExpectViolated("outputs are what the job says");
}

TEST_F(CheckerTest, NoticesAnOutputThatIsNotThatOfAQuietRun) {
  good().files[0].sha256 = good().files[0].claimed_sha256 = "bb";
  ExpectViolated("outputs are those of a quiet run");
}

TEST_F(CheckerTest, NoticesAnOutputThatDoesNotDecode) {
  good().files[0].decodes = false;
  ExpectViolated("outputs decode");
}

TEST_F(CheckerTest, NoticesAMissingOutput) {
  good().files.clear();
  ExpectViolated("all outputs are there");
}

TEST_F(CheckerTest, NoticesADeathWithoutALetter) {
  bad().dead_letter = nullptr;
  ExpectViolated("a dead job has its letter");
}

TEST_F(CheckerTest, NoticesTheReportOfAnotherDeath) {
  bad().dead_letter["report"]["generation"] = 2;
  ExpectViolated("the report is of this death");
}

TEST_F(CheckerTest, NoticesALetterThatLacksAFile) {
  bad().dead_letter["files"].erase(1);
  ExpectViolated("a dead letter is complete");
}

TEST_F(CheckerTest, NoticesALetterThatLacksTheLogOfAnAttemptThatRan) {
  bad().attempts[0]["failure"]["usage"]["exit_status"] = 1;
  EXPECT_THAT(Check(evidence_, reference_), IsEmpty());
  for (json* names : {&bad().dead_letter["files"], &bad().dead_letter["report"]["files"]}) {
    names->erase(1);
  }
  ExpectViolated("a dead letter is complete");
}

TEST_F(CheckerTest, NoticesAReportThatLacksAnAttempt) {
  bad().dead_letter["report"]["attempts"] = json::array();
  ExpectViolated("the report has every attempt");
}

TEST_F(CheckerTest, NoticesAStreamThatMissedAnEvent) {
  good().record.followed = {1, 2, 3, 4};
  EXPECT_THAT(Check(evidence_, reference_), IsEmpty());
  good().record.followed = {1, 3, 4};
  ExpectViolated("a stream of events misses and repeats none");
}

TEST_F(CheckerTest, NoticesALetterWithAnotherInput) {
  bad().dead_input_sha256 = "33";
  ExpectViolated("a dead letter keeps the input");
}

TEST_F(CheckerTest, NoticesThatOneKeyMadeTwoJobs) {
  evidence_.listed.push_back({{"id", "job_3"}, {"external_id", "k1"}});
  ExpectViolated("one key is one job");
}

TEST_F(CheckerTest, NoticesAnAcknowledgedJobThatIsNotListed) {
  evidence_.listed.erase(0);
  ExpectViolated("each acknowledged job is listed");
}

TEST_F(CheckerTest, NoticesMoreKilledEncodersThanWereKilled) {
  good().attempts = json::array({Attempt(3, "failed", 9), Attempt(4, "succeeded")});
  ExpectViolated("an encoder's death is told once");
  evidence_.encoders_killed = 1;
  EXPECT_THAT(Check(evidence_, reference_), IsEmpty());
}

TEST_F(CheckerTest, NoticesAnEncoderThatCrashedByItself) {
  good().attempts = json::array({Attempt(3, "failed", 11), Attempt(4, "succeeded")});
  ExpectViolated("no encoder crashes by itself");
}

TEST_F(CheckerTest, NoticesWhatIsLeftBehindAndWhoCrashed) {
  evidence_.leftovers = {"work/task_1.2"};
  evidence_.accidents = {"broker died of signal 11"};
  evidence_.verify = "something";
  ExpectViolated("nothing is left behind");
  ExpectViolated("no program of the service crashes");
  ExpectViolated("millrace verify finds nothing");
}

TEST(ExcuseTest, AJobIsExcusedByTwoCrashesOnTwoWorkersAndByItsAttemptsBeingSpent) {
  json job = {{"generation", 1}, {"max_attempts", 3}};
  EXPECT_FALSE(ExcuseFor(job, json::array({Attempt(1, "failed", 9)})));
  EXPECT_TRUE(ExcuseFor(job, json::array({Attempt(1, "failed", 9), Attempt(2, "failed", 9)})));
  EXPECT_FALSE(ExcuseFor(job, json::array({Attempt(1, "failed", 9), Attempt(3, "failed", 9)})))
      << "both on one worker";
  EXPECT_FALSE(
      ExcuseFor(job, json::array({Attempt(1, "failed", 9), Attempt(2, "failed", 9, 1, "tsk_2")})))
      << "each of another task";
  EXPECT_FALSE(ExcuseFor(job, json::array({Attempt(1, "failed"), Attempt(2, "failed")})));
  EXPECT_TRUE(ExcuseFor(
      job, json::array({Attempt(1, "failed"), Attempt(2, "failed"), Attempt(3, "failed")})));
  EXPECT_FALSE(
      ExcuseFor(job, json::array({Attempt(1, "failed", 9, 1), Attempt(2, "failed", 9, 2)})))
      << "of two generations";
}

}  // namespace
}  // namespace millrace::chaos
