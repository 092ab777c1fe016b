#include <gmock/gmock.h>

#include "broker/ledger/failure_signature.h"
#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using State = DeadLetterRecord::State;

class LettersTest : public DispatcherTest {
 protected:
  LettersTest() { Register("host/1"); }

  std::string Die(Submission submission = {}, ErrorCode code = ErrorCode::kNoStreams) {
    const std::string id = Submit(std::move(submission));
    FailJob(id, code);
    Buried(id);
    EXPECT_EQ(DispatcherTest::State(id), JobState::kDead);
    return id;
  }
  std::string DieOfPoison() {
    const std::string id = Submit({.sha256 = "5a"});
    for (int crash = 0; crash < 3; ++crash) {
      FailJob(id, ErrorCode::kEncoderCrashed);
      Advance(10s);
      BeatAll("host/1");
    }
    Buried(id);
    return id;
  }
  JobState StateOf(const std::string& id) const { return DispatcherTest::State(id); }
  std::vector<std::string> LetterEvents() const {
    std::vector<std::string> events;
    for (const json& body : Announced("dead-letter")) events.push_back(body.at("event"));
    return events;
  }
};

TEST_F(LettersTest, PutsADeadJobIntoTheQueueWithItsLastTransition) {
  const std::string id = Submit();
  Fail("host/1#1", TaskOf(id).id, 1, ErrorCode::kCorruptMedia);
  EXPECT_THAT(books.OpenLetters(), IsEmpty());
  Buried(id);
  const DeadLetterRecord& letter = books.letter(id);
  EXPECT_EQ(letter.state, State::kOpen);
  EXPECT_EQ(letter.died_at, clock.WallNow());
  EXPECT_EQ(letter.code, "corrupt_media");
  EXPECT_EQ(letter.blame, "media");
  EXPECT_EQ(letter.detail, "it broke");
  EXPECT_EQ(letter.input_name, "in.mov");
  EXPECT_EQ(letter.input_sha256, "00");
  EXPECT_EQ(letter.worker, "host/1");
  const FailureSignature signature =
      SignatureOf(Error(ErrorCode::kCorruptMedia, "it broke", {{"pts", 42}}));
  EXPECT_EQ(letter.signature, signature.id);
  EXPECT_EQ(letter.signature_text, signature.text);
  ASSERT_THAT(Announced("dead-letter"), SizeIs(1));
  EXPECT_EQ(Announced("dead-letter")[0], json({{"seq", books.events().size()},
                                               {"job", id},
                                               {"generation", 1},
                                               {"event", "arrived"},
                                               {"code", "corrupt_media"},
                                               {"signature", signature.id},
                                               {"at", FormatTime(clock.WallNow())}}));
}

TEST_F(LettersTest, RunsARedrivenJobAgainAsItsNextGeneration) {
  const std::string id = Submit();
  BeatAll("host/1", 70);
  FailJob(id, ErrorCode::kNoStreams);
  Buried(id);
  Redrive(id);
  const Job& view = *dispatcher->Find(id);
  EXPECT_EQ(Reply().body["job"]["state"], "running");
  EXPECT_EQ(Reply().body["job"]["progress"]["percent"], 0);
  EXPECT_EQ(Reply().body["job"]["attempt"], 1);
  EXPECT_EQ(view.generation, 2);
  EXPECT_EQ(view.finished_at, std::nullopt);
  EXPECT_TRUE(books.job(id).error.is_null());
  EXPECT_EQ(books.letter(id).state, State::kRedriven);
  EXPECT_EQ(books.letter(id).closed_at, clock.WallNow());
  EXPECT_THAT(LetterEvents(), ElementsAre("redriven"));
  EXPECT_THAT(All<RemoveDeadLetter>(), IsEmpty());
  EXPECT_EQ(books.attempts().rbegin()->second.generation, 2);
  EXPECT_EQ(books.attempts().rbegin()->second.number, 1);
  FinishJob(id);
  Published(id);
  EXPECT_EQ(StateOf(id), JobState::kSucceeded);
  // Nobody needs the folder of the first generation any more.
  ASSERT_THAT(All<RemoveDeadLetter>(), SizeIs(1));
  EXPECT_EQ(All<RemoveDeadLetter>()[0].job_id, id);
}

TEST_F(LettersTest, GivesARedrivenJobItsAttemptsAgain) {
  const std::string id = Submit({.max_attempts = 2});
  for (int generation = 1; generation <= 2; ++generation) {
    FailJob(id, ErrorCode::kInputUnreadable);
    EXPECT_EQ(StateOf(id), JobState::kRetryWait);
    Advance(2s);
    BeatAll("host/1");
    FailJob(id, ErrorCode::kInputUnreadable);
    Buried(id);
    EXPECT_EQ(books.letter(id, generation).state, State::kOpen);
    if (generation == 1) Redrive(id);
  }
  // It was replaced, not removed.
  EXPECT_THAT(All<RemoveDeadLetter>(), IsEmpty());
}

TEST_F(LettersTest, AnswersARepeatedRedriveWithTheJobInAnyState) {
  const std::string id = Die();
  Redrive(id);
  const size_t events = books.events().size();
  Redrive(id);
  EXPECT_EQ(Reply().body["job"]["generation"], 2);
  FinishJob(id);
  Published(id);
  Redrive(id);
  EXPECT_EQ(Reply().body["job"]["state"], "succeeded");
  EXPECT_EQ(Reply().body["job"]["attempt"], 1);
  EXPECT_EQ(books.events().size(), events + 2);
}

TEST_F(LettersTest, RefusesToRedriveWhatIsNotDead) {
  const std::string running = Submit();
  Redrive(running);
  EXPECT_EQ(ReplyCode(), "dead_letter_not_found");
  Redrive(NewJobId());
  EXPECT_EQ(ReplyCode(), "dead_letter_not_found");
  FinishJob(running);
  Published(running);
  Redrive(running);
  EXPECT_EQ(ReplyCode(), "dead_letter_not_found");
  const std::string dead = Die();
  Redrive(dead, 2);
  EXPECT_EQ(ReplyCode(), "dead_letter_not_found");
  Purge(dead);
  Redrive(dead);
  EXPECT_EQ(ReplyCode(), "dead_letter_not_found");
  EXPECT_EQ(StateOf(dead), JobState::kDead);
}

TEST_F(LettersTest, RedrivesWithAChangedSpec) {
  const std::string id = Die();
  json output = ToJson(books.job(id).request.spec)["outputs"][0];
  output["video"]["crf"] = 30;
  Redrive(id, 1, {{"outputs", {output}}});
  EXPECT_EQ(ReplyCode(), "ok");
  EXPECT_EQ(books.job(id).request.spec.outputs[0].video->crf, 30);
  EXPECT_EQ(Sent("host/1#1", "assign").at(0).body["spec"]["outputs"][0]["video"]["crf"], 30);
  // It stays so in memory and after a restart.
  FailJob(id, ErrorCode::kInputUnreadable);
  Restart();
  EXPECT_EQ(dispatcher->Find(id)->request.spec.outputs[0].video->crf, 30);
}

TEST_F(LettersTest, RefusesAPatchThatMakesNoSpecBeforeAnythingChanges) {
  const std::string id = Die();
  EXPECT_THROW(Redrive(id, 1, {{"outputs", nullptr}}), Error);
  EXPECT_THROW(Redrive(id, 1, {{"priority", 3}}), Error);
  EXPECT_EQ(dispatcher->Find(id), nullptr);
  EXPECT_EQ(books.letter(id).state, State::kOpen);
}

TEST_F(LettersTest, RefusesToRedriveWhileNoNewJobsAreTaken) {
  const std::string id = Die();
  dispatcher->SetDisk(0);
  Redrive(id);
  EXPECT_EQ(ReplyCode(), "storage_full");
  dispatcher->SetDisk(std::nullopt);
  dispatcher->StartDraining();
  Redrive(id);
  EXPECT_EQ(ReplyCode(), "draining");
  EXPECT_EQ(books.letter(id).state, State::kOpen);
}

TEST_F(LettersTest, GivesRedrivenPoisonOneCrash) {
  const std::string id = DieOfPoison();
  Redrive(id);
  EXPECT_EQ(StateOf(id), JobState::kRunning);
  FailJob(id, ErrorCode::kEncoderCrashed);
  Buried(id);
  EXPECT_EQ(books.letter(id, 2).code, "poison");
  EXPECT_EQ(books.job(id).error["context"]["workers"].size(), 4u);
}

TEST_F(LettersTest, GivesRedrivenKnownPoisonOneCrash) {
  DieOfPoison();
  const std::string id = Submit({.sha256 = "5a"});
  Buried(id);
  EXPECT_EQ(books.letter(id).code, "poison");
  EXPECT_EQ(books.letter(id).worker, "");
  Redrive(id);
  FailJob(id, ErrorCode::kEncoderCrashed);
  Buried(id);
  EXPECT_EQ(books.letter(id, 2).code, "poison");
  EXPECT_EQ(books.job(id).error["context"]["workers"], json({"host/1"}));
}

TEST_F(LettersTest, KeepsARedriveOverARestart) {
  const std::string id = Die();
  Worker("host/1#1", "goodbye", json::object());
  Redrive(id);
  EXPECT_EQ(StateOf(id), JobState::kQueued);
  Restart();
  Register("host/1");
  FinishJob(id);
  Published(id);
  EXPECT_EQ(StateOf(id), JobState::kSucceeded);
  EXPECT_EQ(books.job(id).generation, 2);
}

TEST_F(LettersTest, RemovesTheFolderOfARedrivenJobThatIsCancelled) {
  const std::string id = Die();
  Redrive(id);
  Cancel(id);
  ReleaseJob(id, "cancelled");
  EXPECT_EQ(StateOf(id), JobState::kCancelled);
  EXPECT_THAT(All<RemoveDeadLetter>(), SizeIs(1));
}

TEST_F(LettersTest, PurgesALetterAndKeepsItsTombstone) {
  const std::string id = Die();
  clock.Advance(1s);
  Purge(id);
  EXPECT_EQ(Reply().body["dead_letter"]["state"], "purged");
  EXPECT_EQ(books.letter(id).state, State::kPurged);
  EXPECT_EQ(books.letter(id).closed_at, clock.WallNow());
  EXPECT_THAT(LetterEvents(), ElementsAre("purged"));
  EXPECT_EQ(Announced("dead-letter")[0]["seq"], books.events().size());
  EXPECT_EQ(books.EventsOf(id).back(), JobEvent::kPurge);
  EXPECT_EQ(StateOf(id), JobState::kDead);
  ASSERT_THAT(All<RemoveDeadLetter>(), SizeIs(1));
  // Again: the same answer, and nothing happens.
  const size_t events = books.events().size();
  Purge(id);
  EXPECT_EQ(Reply().body["dead_letter"]["state"], "purged");
  EXPECT_EQ(books.events().size(), events);
  EXPECT_THAT(All<RemoveDeadLetter>(), IsEmpty());
}

TEST_F(LettersTest, RefusesToPurgeWhatIsNotDead) {
  Purge(NewJobId());
  EXPECT_EQ(ReplyCode(), "dead_letter_not_found");
  const std::string id = Die();
  Redrive(id);
  Purge(id);
  EXPECT_EQ(ReplyCode(), "dead_letter_not_found");
  EXPECT_EQ(StateOf(id), JobState::kRunning);
  FinishJob(id);
  Published(id);
  Purge(id);
  EXPECT_EQ(ReplyCode(), "dead_letter_not_found");
}

TEST_F(LettersTest, PurgesManyOnlyIfTheirCountIsAsExpected) {
  const std::vector<std::string> ids = {Die(), Die(), Die()};
  Redrive(ids[2]);
  PurgeMany("p1", ids, {{"dry_run", true}});
  EXPECT_EQ(Reply().body["count"], 2);
  PurgeMany("p1", ids);
  EXPECT_EQ(ReplyCode(), "precondition_failed");
  PurgeMany("p1", ids, {{"expected", 3}});
  EXPECT_EQ(ReplyCode(), "precondition_failed");
  EXPECT_THAT(books.OpenLetters(), SizeIs(2));
  PurgeMany("p1", ids, {{"expected", 2}});
  EXPECT_EQ(Reply().body["count"], 2);
  EXPECT_THAT(books.OpenLetters(), IsEmpty());
  EXPECT_THAT(All<RemoveDeadLetter>(), SizeIs(2));
  // For when its answer is lost.
  ASSERT_THAT(books.purges(), SizeIs(1));
  EXPECT_EQ(books.purges().at("p1").count, 2);
  EXPECT_EQ(books.purges().at("p1").created_at, clock.WallNow());
}

TEST_F(LettersTest, ExpiresLettersThatAreOpen) {
  const std::string kept = Die();
  const std::string purged = Die();
  Purge(purged);
  Expire({kept, purged});
  EXPECT_EQ(books.letter(kept).state, State::kExpired);
  EXPECT_EQ(books.letter(purged).state, State::kPurged);
  EXPECT_THAT(LetterEvents(), ElementsAre("expired"));
  EXPECT_THAT(All<RemoveDeadLetter>(), SizeIs(1));
  Expire({kept});
  EXPECT_TRUE(effects.empty());
  Purge(kept);
  EXPECT_EQ(Reply().body["dead_letter"]["state"], "expired");
}

TEST_F(LettersTest, TellsWhichWorkFoldersAreNeeded) {
  const std::string id = Submit();
  const std::string task = TaskOf(id).id;
  EXPECT_TRUE(dispatcher->OwnsWork(task, 1));
  EXPECT_FALSE(dispatcher->OwnsWork(task, 2));
  EXPECT_FALSE(dispatcher->OwnsWork(NewTaskId(), 1));
  FailJob(id, ErrorCode::kEncodeFailed);
  EXPECT_TRUE(dispatcher->OwnsWork(task, 1));
  Advance(2s);
  ReleaseJob(id, "cancelled");
  EXPECT_FALSE(dispatcher->OwnsWork(task, 2));
  FinishJob(id);
  EXPECT_TRUE(dispatcher->OwnsWork(task, 3));
  Restart();
  EXPECT_TRUE(dispatcher->OwnsWork(task, 1));
  EXPECT_TRUE(dispatcher->OwnsWork(task, 3));
  Published(id);
  EXPECT_FALSE(dispatcher->OwnsWork(task, 1));
  EXPECT_FALSE(dispatcher->OwnsWork(task, 3));
}

}  // namespace
}  // namespace millrace::broker
