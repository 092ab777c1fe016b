#include "tests/broker/verify/verify_fixture.h"

namespace millrace::broker {
namespace {

using testing::AllOf;
using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::StartsWith;

// Tests the findings for rows of the ledger that disagree.
class VerifyRowsTest : public VerifyTest {
 protected:
  // Expects a finding of this check about this job with this detail.
  void ExpectFound(const char* check, const Job& job, const std::string& detail) {
    EXPECT_THAT(Verify(), Contains(AllOf(StartsWith(std::string(check) + ": " + job.id + ": "),
                                         HasSubstr(detail))));
  }

  static EncodeSpec OtherSpec() {
    OutputSpec output;
    output.name = "other";
    output.thumbnails = ThumbnailSpec();
    return {.outputs = {output}, .clip = {}};
  }
};

TEST_F(VerifyRowsTest, AStateThatTheEventsDoNotLeadTo) {
  Damage("UPDATE jobs SET state = 'cancelled', finished_at = 5 WHERE id = '" + queued_.id + "'");
  ExpectFound("events", queued_, "is cancelled, but its events lead to queued");
  ExpectFound("jobs", queued_, "is cancelled, but task ");
}

TEST_F(VerifyRowsTest, AnOutputThatTwoTasksMake) {
  TaskRecord second = samples::SmallTask(queued_);
  ledger_->Commit({PutTask{second}});
  const std::string output = queued_.request.spec.outputs.at(0).name;
  ExpectFound("jobs", queued_, "its output " + output + " is made by 2 tasks");
}

TEST_F(VerifyRowsTest, AnOutputThatNoTaskMakes) {
  Damage("UPDATE tasks SET spec = '" + ToJson(OtherSpec()).dump() + "' WHERE job_id = '" +
         queued_.id + "'");
  const std::string output = queued_.request.spec.outputs.at(0).name;
  ExpectFound("jobs", queued_, "its output " + output + " is made by 0 tasks");
  ExpectFound("jobs", queued_, "make outputs that it does not ask for");
}

TEST_F(VerifyRowsTest, ATaskThatWaitsForNone) {
  Damage("UPDATE tasks SET dependencies = '[\"tsk_gone\"]' WHERE job_id = '" + queued_.id + "'");
  ExpectFound("jobs", queued_, "depends on tsk_gone, which is none of the job's");
}

TEST_F(VerifyRowsTest, ATaskThatDoesNotFitTheOthersOfItsJob) {
  TaskRecord second = samples::SmallTask(succeeded_);
  ledger_->Commit({PutTask{second}});
  ExpectFound("jobs", succeeded_, "task " + second.id + " is queued");
}

TEST_F(VerifyRowsTest, ATaskOfAGenerationToCome) {
  Damage("UPDATE tasks SET generation = 2 WHERE job_id = '" + queued_.id + "'");
  ExpectFound("jobs", queued_, "is of a generation to come, 2");
  ExpectFound("jobs", queued_, "has no task");
}

TEST_F(VerifyRowsTest, ATaskOfAnEarlierPlanThatHasNotEnded) {
  Damage("UPDATE tasks SET generation = 0 WHERE job_id = '" + running_.id + "'");
  ExpectFound("jobs", running_, "of generation 0 is leased");
}

TEST_F(VerifyRowsTest, AnEventThatCannotFollow) {
  std::vector<LedgerChange> changes;
  Append(changes, succeeded_, JobEvent::kPublished, JobState::kSucceeded);
  ledger_->Commit(changes);
  ExpectFound("events", succeeded_,
              "(published to succeeded) leads out of succeeded, which it cannot");
}

TEST_F(VerifyRowsTest, AnEventThatLeadsElsewhere) {
  Damage("UPDATE events SET state = 'queued' WHERE event = 'start' AND job_id = '" + running_.id +
         "'");
  ExpectFound("events", running_, "(start to queued) must lead to running");
}

TEST_F(VerifyRowsTest, AnEventOfAWrongGeneration) {
  Damage("UPDATE events SET generation = 2 WHERE event = 'start' AND job_id = '" + running_.id +
         "'");
  ExpectFound("events", running_, "is of generation 2, expected 1");
}

TEST_F(VerifyRowsTest, AnEventWithAnUnknownName) {
  Damage("UPDATE events SET event = 'strat' WHERE event = 'start' AND job_id = '" + running_.id +
         "'");
  ExpectFound("events", running_, "(strat to running) is not known to this build");
}

TEST_F(VerifyRowsTest, AHistoryThatDoesNotBeginWithItsSubmission) {
  Damage("UPDATE events SET event = 'start', state = 'running' WHERE job_id = '" + queued_.id +
         "'");
  ExpectFound("events", queued_, "is not how a job begins");
}

TEST_F(VerifyRowsTest, AGapInTheSequence) {
  Damage("DELETE FROM events WHERE sequence IN (2, 3)");
  EXPECT_THAT(Verify(), Contains("sequence: : events 2 to 3 are missing"));
}

TEST_F(VerifyRowsTest, ASequenceThatIsCutOff) {
  Damage("DELETE FROM events WHERE sequence = (SELECT max(sequence) FROM events)");
  EXPECT_THAT(Verify(), Contains("sequence: : event 12 is missing"));
  ExpectFound("events", queued_, "has no events");
}

TEST_F(VerifyRowsTest, AnEventThatWasRemovedAndIsThere) {
  Damage("INSERT INTO removed_events VALUES (3, 3)");
  EXPECT_THAT(Verify(), ElementsAre(StartsWith("sequence: : event 3 is there although")));
}

TEST_F(VerifyRowsTest, ACounterThatWentBack) {
  Damage("UPDATE counters SET value = 1");
  EXPECT_THAT(Verify(), AllOf(Contains(HasSubstr("although the counter stands at 1")),
                              Contains(StartsWith("fences: : an attempt has fence 3")),
                              Contains(StartsWith("fences: : a task has fence 3"))));
}

TEST_F(VerifyRowsTest, AJobThatIsGoneWithoutHavingBeenRemoved) {
  Damage("DELETE FROM attempts; DELETE FROM tasks; DELETE FROM dead_letters; DELETE FROM jobs");
  ExpectFound("events", queued_, "has events, but the ledger has no such job");
}

TEST_F(VerifyRowsTest, AJobThatWasRemovedBeforeItsEnd) {
  Damage("INSERT INTO removed_jobs SELECT 1, max(sequence), job_id FROM events WHERE job_id = '" +
         running_.id +
         "'; DELETE FROM attempts WHERE outcome = 'running'; DELETE FROM tasks WHERE "
         "job_id = '" +
         running_.id + "'; DELETE FROM jobs WHERE id = '" + running_.id + "'");
  ExpectFound("events", running_, "was removed while it was running");
}

TEST_F(VerifyRowsTest, APublishedFenceThatNoAttemptHas) {
  Damage("UPDATE jobs SET published_fence = 77 WHERE state = 'succeeded'");
  ExpectFound("jobs", succeeded_, "published fence 77, which none of its attempts has");
}

TEST_F(VerifyRowsTest, APublishedAttemptThatFailed) {
  Damage("UPDATE attempts SET outcome = 'lost' WHERE outcome = 'succeeded'");
  ExpectFound("jobs", succeeded_,
              "published fence 1, an attempt of generation 1 that ended as lost");
}

TEST_F(VerifyRowsTest, OutputsOfAJobThatDidNotSucceed) {
  Damage("UPDATE jobs SET published_fence = 2 WHERE state = 'dead'");
  ExpectFound("jobs", dead_, "is dead, but fence 2 is published");
}

TEST_F(VerifyRowsTest, TwoAttemptsThatSucceeded) {
  Damage(
      "INSERT INTO attempts SELECT 50, task_id, 2, 1, worker, 1, 2, 'succeeded', NULL, NULL "
      "FROM attempts WHERE outcome = 'succeeded'; "
      "UPDATE tasks SET fence = 50 WHERE state = 'done'; UPDATE counters SET value = 50 WHERE name "
      "= 'fence'");
  ExpectFound("jobs", succeeded_, "succeeded in generation 1");
  ExpectFound("jobs", succeeded_, "published fence 1, but fence 50 succeeded after it");
}

TEST_F(VerifyRowsTest, AnAttemptThatRunsWithoutALease) {
  Damage("UPDATE tasks SET state = 'queued' WHERE state = 'leased'");
  ExpectFound("jobs", running_, "is running, but task ");
  ExpectFound("jobs", running_, "the attempt of fence 3 runs without a lease");
}

TEST_F(VerifyRowsTest, ATaskWhoseLeaseHasNoAttempt) {
  Damage("DELETE FROM attempts WHERE outcome = 'running'");
  ExpectFound("jobs", running_, "has fence 3, but no attempt has it");
}

TEST_F(VerifyRowsTest, AJobWithoutATask) {
  Damage("DELETE FROM tasks WHERE state = 'queued'");
  ExpectFound("jobs", queued_, "has no task");
}

TEST_F(VerifyRowsTest, AnEndWithoutATime) {
  Damage("UPDATE jobs SET finished_at = NULL WHERE state = 'cancelled'");
  ExpectFound("jobs", cancelled_, "is cancelled, but has no end");
}

TEST_F(VerifyRowsTest, ADeadJobWithoutALetter) {
  Damage("DELETE FROM dead_letters");
  ExpectFound("jobs", dead_, "is dead, but has no dead letter");
}

TEST_F(VerifyRowsTest, AnOpenLetterOfAJobThatLives) {
  ledger_->Commit({PutDeadLetter{samples::SmallLetter(running_)}});
  ExpectFound("jobs", running_,
              "its dead letter of generation 1 is open, but the job is running in generation 1");
}

TEST_F(VerifyRowsTest, ALetterThatNamesAnotherErrorThanItsJob) {
  Damage("UPDATE dead_letters SET code = 'poison'");
  ExpectFound("jobs", dead_, "names another error than the job");
}

TEST_F(VerifyRowsTest, ARowThatCannotBeRead) {
  Damage("UPDATE jobs SET files = '[{' WHERE state = 'queued'");
  ExpectFound("jobs", queued_, "cannot be read");
}

TEST_F(VerifyRowsTest, ATextThatStandsTwiceAndDiffers) {
  Damage("UPDATE jobs SET upload = 'upl_other' WHERE state = 'queued'");
  ExpectFound("jobs", queued_, "its upload stands there twice and differs");
}

}  // namespace
}  // namespace millrace::broker
