#include <gmock/gmock.h>

#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::IsEmpty;

class FailureTest : public DispatcherTest {
 protected:
  // Fails the current attempt, and goes on to when the next one is due.
  void FailAndWait(const std::string& id, ErrorCode code) {
    FailJob(id, code);
    if (State(id) != JobState::kRetryWait) return;
    WaitForRetry(id);
  }
  void WaitForRetry(const std::string& id) {
    const auto wait = *TaskOf(id).due_at - clock.WallNow();
    // Workers go on beating meanwhile.
    clock.Advance(wait);
    BeatAll("host/1");
    BeatAll("host/2");
    Do(dispatcher->OnTick(now()));
  }
  bool IsBurying(const std::string& id) const { return TaskOf(id).state == TaskState::kFailed; }
};

TEST_F(FailureTest, BuriesAPermanentFailureAtOnceAndIsDeadOnceTheFolderIsComplete) {
  Register("host/1");
  const std::string id = Submit();
  FailJob(id, ErrorCode::kNoStreams);
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
  ASSERT_EQ(All<Bury>().size(), 1u);
  EXPECT_EQ(State(id), JobState::kRunning);
  Buried(id);
  EXPECT_EQ(State(id), JobState::kDead);
  EXPECT_EQ(books.job(id).error["code"], "no_streams");
  EXPECT_EQ(books.job(id).finished_at, clock.WallNow());
  EXPECT_EQ(dispatcher->Find(id), nullptr);
  EXPECT_EQ(Announced("job").at(0)["event"], "bury");
}

TEST_F(FailureTest, WritesEverythingThatIsKnownIntoTheDeadLetter) {
  Register("host/1");
  Register("host/2");
  const std::string id = Submit();
  const std::string first = TaskOf(id).last_worker;
  FailAndWait(id, ErrorCode::kEncodeFailed);
  FailJob(id, ErrorCode::kCorruptMedia);
  ASSERT_EQ(All<Bury>().size(), 1u);
  const DeadLetter letter = All<Bury>()[0].letter;
  EXPECT_EQ(letter.job_id, id);
  EXPECT_EQ(letter.input, books.job(id).request.input);
  EXPECT_THAT(letter.attempts,
              ElementsAre(std::pair(TaskOf(id).id, Fence{1}), std::pair(TaskOf(id).id, Fence{2})));
  const json& report = letter.report;
  EXPECT_EQ(report["version"], 2);
  EXPECT_EQ(report["job"], id);
  EXPECT_EQ(report["generation"], 1);
  EXPECT_EQ(report["error"]["code"], "corrupt_media");
  EXPECT_EQ(report["error"]["blame"], "media");
  EXPECT_EQ(report["error"]["context"]["pts"], 42);
  EXPECT_EQ(report["first_failure"]["code"], "encode_failed");
  EXPECT_EQ(report["first_failure"]["worker"], first);
  EXPECT_EQ(report["last_failure"]["code"], "corrupt_media");
  ASSERT_EQ(report["attempts"].size(), 2u);
  EXPECT_EQ(report["attempts"][1]["number"], 2);
  EXPECT_EQ(report["attempts"][0]["failure"]["usage"]["signal"], 11);
  EXPECT_EQ(report["attempts"][0]["failure"]["log_tail"][0], "last words");
  EXPECT_EQ(report["attempts"][0]["versions"]["millrace"], "0.1");
  EXPECT_EQ(report["input_facts"]["name"], "in.mov");
  EXPECT_EQ(report["spec"], ToJson(books.job(id).request.spec));
  EXPECT_TRUE(report["request"].contains("max_attempts"));
  for (const char* key : {"external_id", "labels", "media", "created_at", "died_at", "input"}) {
    EXPECT_TRUE(report.contains(key)) << key;
  }
}

TEST_F(FailureTest, RetriesATransientFailureUpToMaxAttempts) {
  Register("host/1");
  const std::string id = Submit({.max_attempts = 4});
  for (int attempt = 1; attempt < 4; ++attempt) {
    FailJob(id, ErrorCode::kInputUnreadable);
    EXPECT_EQ(State(id), JobState::kRetryWait);
    EXPECT_EQ(books.job(id).error["code"], "input_unreadable");
    // Full jitter: half of the ceiling, as the test's randomness is 0.5.
    EXPECT_EQ(*TaskOf(id).due_at - clock.WallNow(), 500ms * (1 << (attempt - 1)));
    EXPECT_EQ(dispatcher->Live(id).retry_at, TaskOf(id).due_at);
    WaitForRetry(id);
    EXPECT_EQ(State(id), JobState::kRunning);
    EXPECT_TRUE(books.job(id).error.is_null());
    EXPECT_EQ(dispatcher->Live(id).attempt, attempt + 1);
  }
  FailJob(id, ErrorCode::kInputUnreadable);
  EXPECT_TRUE(IsBurying(id));
}

TEST_F(FailureTest, GivesAnUnknownFailureThreeAttempts) {
  Register("host/1");
  const std::string id = Submit({.max_attempts = 10});
  FailAndWait(id, ErrorCode::kEncodeFailed);
  FailAndWait(id, ErrorCode::kEncodeFailed);
  EXPECT_EQ(State(id), JobState::kRunning);
  FailAndWait(id, ErrorCode::kEncodeFailed);
  EXPECT_TRUE(IsBurying(id));
  const std::string once = Submit({.max_attempts = 1});
  FailJob(once, ErrorCode::kEncodeFailed);
  EXPECT_TRUE(IsBurying(once));
}

TEST_F(FailureTest, CallsTwoCrashesOnDifferentWorkersPoison) {
  Register("host/1");
  Register("host/2");
  const std::string id = Submit();
  FailAndWait(id, ErrorCode::kEncoderCrashed);
  EXPECT_EQ(State(id), JobState::kRunning);
  EXPECT_NE(books.attempt(1).worker, books.attempt(2).worker);
  FailJob(id, ErrorCode::kOutOfMemory);
  Buried(id);
  EXPECT_EQ(books.job(id).error["code"], "poison");
  EXPECT_EQ(books.job(id).error["context"]["last_error"]["code"], "out_of_memory");
}

TEST_F(FailureTest, AllowsThreeCrashesOnTheOnlyWorker) {
  Register("host/1");
  const std::string id = Submit();
  FailAndWait(id, ErrorCode::kEncoderCrashed);
  FailAndWait(id, ErrorCode::kStalled);
  EXPECT_EQ(State(id), JobState::kRunning);
  FailJob(id, ErrorCode::kEncoderCrashed);
  Buried(id);
  EXPECT_EQ(books.job(id).error["code"], "poison");
}

TEST_F(FailureTest, NeverGivesATaskTwiceInARowToTheWorkerWhereItCrashed) {
  Register("host/2");
  Submit();
  Register("host/1", 3);
  const std::string id = Submit();
  ASSERT_EQ(TaskOf(id).last_worker, "host/1");
  FailAndWait(id, ErrorCode::kEncoderCrashed);
  EXPECT_EQ(State(id), JobState::kQueued);
  // Others pass it on host/1, which has room.
  EXPECT_EQ(State(Submit()), JobState::kRunning);
  Worker("host/2#1", "goodbye", json::object());
  EXPECT_EQ(State(id), JobState::kRunning);
}

TEST_F(FailureTest, GivesATaskThatDidNotCrashToTheSameWorkerIfTheOthersAreBusy) {
  Register("host/2");
  const std::string other = Submit();
  Register("host/1", 3);
  const std::string id = Submit();
  ASSERT_EQ(TaskOf(id).last_worker, "host/1");
  FailAndWait(id, ErrorCode::kEncodeFailed);
  EXPECT_EQ(State(id), JobState::kRunning);
  EXPECT_EQ(TaskOf(id).last_worker, "host/1");
  // It goes elsewhere as soon as there is room.
  FinishJob(other);
  FailAndWait(id, ErrorCode::kEncodeFailed);
  EXPECT_EQ(TaskOf(id).last_worker, "host/2");
}

TEST_F(FailureTest, GivesACrashedTaskToTheSameWorkerIfNoOtherCanTakeIt) {
  Register("host/1", 3);
  json body = RegisterBody("host/2", 1);
  body["encoders"] = {"vp9"};
  Worker("host/2#1", "register", body);
  const std::string id = Submit();
  FailAndWait(id, ErrorCode::kEncoderCrashed);
  EXPECT_EQ(State(id), JobState::kRunning);
}

TEST_F(FailureTest, RequeuesAnInfrastructureFailureWithoutSpendingAnAttempt) {
  Register("host/1");
  Register("host/2");
  const std::string id = Submit({.max_attempts = 1});
  FailJob(id, ErrorCode::kWorkerDiskFull);
  EXPECT_EQ(State(id), JobState::kRunning);
  EXPECT_NE(books.attempt(1).worker, books.attempt(2).worker);
  EXPECT_THAT(Discarded(), ElementsAre(1));
  EXPECT_EQ(books.attempt(2).number, 1);
  // From then on it takes its time: a full disk is still full a moment later.
  FailJob(id, ErrorCode::kWorkerDiskFull);
  EXPECT_EQ(State(id), JobState::kRetryWait);
  EXPECT_EQ(TaskOf(id).attempts_spent, 0);
}

TEST_F(FailureTest, BuriesATaskAfterTooManyInfrastructureFailures) {
  options.max_infrastructure_failures = 3;
  Start();
  Register("host/1");
  const std::string id = Submit();
  for (int i = 0; i < 3; ++i) {
    Worker("host/1#1", "goodbye", json::object());
    EXPECT_EQ(State(id), JobState::kQueued);
    Register("host/1");
  }
  Worker("host/1#1", "goodbye", json::object());
  EXPECT_TRUE(IsBurying(id));
  Buried(id);
  EXPECT_EQ(books.job(id).error["code"], "worker_lost");
}

TEST_F(FailureTest, KeepsTheFoldersOfFailedAttemptsUntilTheJobHasEnded) {
  Register("host/1");
  const std::string id = Submit();
  FailJob(id, ErrorCode::kEncodeFailed);
  EXPECT_THAT(Discarded(), IsEmpty());
  WaitForRetry(id);
  FinishJob(id);
  EXPECT_THAT(Discarded(), IsEmpty());
  Published(id);
  EXPECT_THAT(Discarded(), ElementsAre(1));
}

TEST_F(FailureTest, PublishesAndThenShowsTheFiles) {
  Register("host/1");
  const std::string id = Submit();
  FinishJob(id);
  EXPECT_EQ(State(id), JobState::kPublishing);
  ASSERT_EQ(All<PublishOutputs>().size(), 1u);
  const std::vector<TaskOutputs> made = All<PublishOutputs>()[0].made;
  ASSERT_EQ(made.size(), 1u);
  EXPECT_EQ(PublishedFence(made), 1);
  EXPECT_EQ(made[0].manifest, ManifestFromJson(ManifestJson()));
  EXPECT_THAT(books.job(id).files, IsEmpty());
  Do(dispatcher->OnResult(broker::Published{.job_id = id, .fence = 7}, now()));
  EXPECT_EQ(State(id), JobState::kPublishing);
  clock.Advance(1s);
  Published(id);
  const Job& job = books.job(id);
  EXPECT_EQ(job.state, JobState::kSucceeded);
  ASSERT_EQ(job.files.size(), 1u);
  EXPECT_EQ(job.files[0].path, "web.mkv");
  EXPECT_EQ(job.warnings.size(), 1u);
  EXPECT_EQ(job.published_fence, 1);
  EXPECT_EQ(job.media, json({{"streams", 1}}));
  EXPECT_EQ(job.finished_at, clock.WallNow());
  EXPECT_EQ(dispatcher->Find(id), nullptr);
  EXPECT_EQ(books.attempt(1).outcome, "succeeded");
  Published(id);
  EXPECT_TRUE(effects.empty());
}

TEST_F(FailureTest, RefusesAManifestThatLeavesItsFolder) {
  Register("host/1");
  const std::string id = Submit();
  json manifest = ManifestJson();
  manifest["files"][0]["path"] = "../../etc/passwd";
  EXPECT_THROW(Worker("host/1#1", "finished",
                      {{"task", TaskOf(id).id},
                       {"fence", 1},
                       {"manifest", manifest},
                       {"usage", json::object()}}),
               Error);
  EXPECT_EQ(State(id), JobState::kRunning);
}

TEST_F(FailureTest, PublishesAgainLaterWhenStorageFailsWithoutEncodingAgain) {
  Register("host/1");
  const std::string id = Submit();
  FinishJob(id);
  for (int i = 0; i < 3; ++i) {
    PublishFailed(id, ErrorCode::kStorageFull);
    EXPECT_EQ(State(id), JobState::kPublishing);
    EXPECT_TRUE(effects.empty());
    ASSERT_EQ(dispatcher->NextDeadline(), clock.Now() + 500ms * (1 << i));
    clock.Advance(500ms * (1 << i));
    Beat("host/1#1");
    Do(dispatcher->OnTick(now()));
    EXPECT_EQ(All<PublishOutputs>().size(), 1u);
  }
  Published(id);
  EXPECT_EQ(State(id), JobState::kSucceeded);
  EXPECT_EQ(books.attempts().size(), 1u);
}

TEST_F(FailureTest, EncodesAgainWhenTheFilesAreGone) {
  Register("host/1");
  const std::string id = Submit({.max_attempts = 1});
  FinishJob(id);
  PublishFailed(id, ErrorCode::kOutputNotFound);
  EXPECT_EQ(State(id), JobState::kRunning);
  EXPECT_THAT(books.EventsOf(id), Contains(JobEvent::kRedo));
  EXPECT_THAT(Discarded(), ElementsAre(1));
  EXPECT_EQ(books.attempt(1).outcome, "lost");
  Finish("host/1#1", TaskOf(id).id, 1);
  EXPECT_EQ(Sent("host/1#1", "lease_lost").size(), 1u);
  FinishJob(id);
  Published(id);
  EXPECT_EQ(books.job(id).published_fence, 2);
}

TEST_F(FailureTest, BuriesAJobWhoseFilesKeepVanishing) {
  options.max_infrastructure_failures = 2;
  Start();
  Register("host/1");
  const std::string id = Submit();
  for (int i = 0; i < 3; ++i) {
    FinishJob(id);
    PublishFailed(id, ErrorCode::kOutputNotFound);
  }
  EXPECT_EQ(State(id), JobState::kPublishing);
  EXPECT_EQ(All<Bury>().size(), 1u);
  Buried(id);
  EXPECT_EQ(State(id), JobState::kDead);
  EXPECT_EQ(books.job(id).error["code"], "output_not_found");
}

TEST_F(FailureTest, BuriesAgainLaterWhenTheFolderCannotBeWritten) {
  Register("host/1");
  const std::string id = Submit();
  FailJob(id, ErrorCode::kNoStreams);
  BuryFailed(id);
  EXPECT_EQ(State(id), JobState::kRunning);
  Advance(500ms);
  EXPECT_EQ(All<Bury>().size(), 1u);
  Buried(id);
  EXPECT_EQ(State(id), JobState::kDead);
  Buried(id);
  EXPECT_TRUE(effects.empty());
}

TEST_F(FailureTest, TakesUpPublishingAndBuryingAfterARestart) {
  Register("host/1", 2);
  const std::string done = Submit();
  const std::string failed = Submit();
  FinishJob(done);
  FailJob(failed, ErrorCode::kNoDecoder);
  Restart();
  ASSERT_EQ(All<PublishOutputs>().size(), 1u);
  EXPECT_EQ(All<PublishOutputs>()[0].job_id, done);
  ASSERT_EQ(All<Bury>().size(), 1u);
  EXPECT_EQ(All<Bury>()[0].letter.report["error"]["code"], "no_decoder");
  Published(done);
  Buried(failed);
  EXPECT_EQ(State(done), JobState::kSucceeded);
  EXPECT_EQ(State(failed), JobState::kDead);
}

TEST_F(FailureTest, KeepsTheWaitBeforeARetryOverARestart) {
  Register("host/1");
  const std::string id = Submit();
  FailJob(id, ErrorCode::kStorageError);
  clock.Advance(200ms);
  Restart();
  EXPECT_EQ(dispatcher->NextDeadline(), clock.Now() + 300ms);
  // A wall clock that was stepped back a year does not make a wait of a year.
  clock.SetWall(clock.WallNow() - 24h * 365);
  Restart();
  EXPECT_EQ(dispatcher->NextDeadline(), clock.Now() + options.retry_cap);
  clock.SetWall(clock.WallNow() + 24h * 800);
  Restart();
  EXPECT_EQ(dispatcher->NextDeadline(), clock.Now());
}

TEST_F(FailureTest, AvoidsTheWorkerOfTheFailureAlsoAfterARestart) {
  Register("host/1");
  const std::string id = Submit();
  FailJob(id, ErrorCode::kEncodeFailed);
  Restart();
  Register("host/1", 2);
  Register("host/2", 2);
  Submit();
  Advance(500ms);
  EXPECT_EQ(TaskOf(id).last_worker, "host/2");
}

}  // namespace
}  // namespace millrace::broker
