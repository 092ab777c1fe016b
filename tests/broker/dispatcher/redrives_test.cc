#include <gmock/gmock.h>

#include "broker/dispatcher/size_prediction.h"
#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using State = RedriveRecord::State;

class RedrivesTest : public DispatcherTest {
 protected:
  RedrivesTest() { Register("host/1"); }

  // Dead jobs, oldest first.
  std::vector<std::string> DieAll(int count) {
    std::vector<std::string> ids;
    for (int i = 0; i < count; ++i) {
      ids.push_back(Submit());
      FailJob(ids.back(), ErrorCode::kNoStreams);
      Buried(ids.back());
    }
    return ids;
  }
  void Succeed(const std::string& id) {
    FinishJob(id);
    Published(id);
    ASSERT_EQ(DispatcherTest::State(id), JobState::kSucceeded);
  }
  JobState StateOf(const std::string& id) const { return DispatcherTest::State(id); }
  static json Canary() { return {{"canary", true}}; }

  const std::string id_ = NewId("rdr_");
};

TEST_F(RedrivesTest, CountsInADryRun) {
  const auto jobs = DieAll(3);
  RedriveMany(id_, jobs, {{"dry_run", true}});
  EXPECT_EQ(Reply().body, json({{"count", 3}, {"redrive", nullptr}}));
  EXPECT_THAT(books.redrives(), IsEmpty());
  EXPECT_THAT(books.OpenLetters(), SizeIs(3));
}

TEST_F(RedrivesTest, RedrivesAllWhoseLettersAreOpen) {
  const auto jobs = DieAll(3);
  Purge(jobs[1]);
  RedriveMany(id_, jobs);
  EXPECT_EQ(Reply().body["count"], 2);
  EXPECT_EQ(Reply().body["redrive"]["state"], "released");
  EXPECT_EQ(StateOf(jobs[0]), JobState::kRunning);
  EXPECT_EQ(StateOf(jobs[1]), JobState::kDead);
  EXPECT_EQ(StateOf(jobs[2]), JobState::kQueued);
  EXPECT_EQ(books.redrive(id_).state, State::kReleased);
}

TEST_F(RedrivesTest, SendsACanaryFirstAndTheOthersWhenItHasSucceeded) {
  const auto jobs = DieAll(3);
  RedriveMany(id_, jobs, Canary());
  EXPECT_EQ(Reply().body["count"], 3);
  EXPECT_EQ(Reply().body["redrive"]["state"], "waiting");
  EXPECT_EQ(Reply().body["redrive"]["waiting"], 2);
  EXPECT_EQ(StateOf(jobs[0]), JobState::kRunning);
  EXPECT_EQ(StateOf(jobs[1]), JobState::kDead);
  // Its answer was lost.
  RedriveMany(id_, jobs, Canary());
  EXPECT_EQ(Reply().body["count"], 3);
  Succeed(jobs[0]);
  ASSERT_THAT(All<LoadDead>(), SizeIs(1));
  EXPECT_THAT(All<LoadDead>()[0].job_ids, ElementsAre(jobs[1], jobs[2]));
  EXPECT_EQ(books.redrive(id_).state, State::kWaiting);
  Load(All<LoadDead>()[0]);
  EXPECT_EQ(books.redrive(id_).state, State::kReleased);
  EXPECT_THAT(books.redrive(id_).waiting, IsEmpty());
  EXPECT_EQ(StateOf(jobs[1]), JobState::kRunning);
  EXPECT_EQ(StateOf(jobs[2]), JobState::kQueued);
  EXPECT_EQ(books.job(jobs[2]).generation, 2);
}

TEST_F(RedrivesTest, StopsWhenTheCanaryDiesAgain) {
  const auto jobs = DieAll(2);
  RedriveMany(id_, jobs, Canary());
  FailJob(jobs[0], ErrorCode::kNoStreams);
  EXPECT_EQ(books.redrive(id_).state, State::kWaiting);
  Buried(jobs[0]);
  EXPECT_EQ(books.redrive(id_).state, State::kStopped);
  EXPECT_THAT(books.redrive(id_).waiting, ElementsAre(jobs[1]));
  EXPECT_THAT(All<LoadDead>(), IsEmpty());
  EXPECT_EQ(StateOf(jobs[1]), JobState::kDead);
  EXPECT_THAT(books.OpenLetters(), SizeIs(2));
}

TEST_F(RedrivesTest, StopsWhenTheCanaryIsCancelled) {
  const auto jobs = DieAll(2);
  RedriveMany(id_, jobs, Canary());
  Cancel(jobs[0]);
  EXPECT_EQ(books.redrive(id_).state, State::kWaiting);
  ReleaseJob(jobs[0], "cancelled");
  EXPECT_EQ(books.redrive(id_).state, State::kStopped);
  Worker("host/1#1", "goodbye", json::object());
  // Also while it waits for a worker.
  const std::string again = NewId("rdr_");
  RedriveMany(again, {jobs[1]}, Canary());
  Cancel(jobs[1]);
  EXPECT_EQ(books.redrive(again).state, State::kStopped);
}

TEST_F(RedrivesTest, IsReleasedAtOnceWhenNobodyWaitsBehindTheCanary) {
  const auto jobs = DieAll(1);
  RedriveMany(id_, jobs, Canary());
  Succeed(jobs[0]);
  Load(All<LoadDead>().at(0));
  EXPECT_EQ(books.redrive(id_).state, State::kReleased);
}

TEST_F(RedrivesTest, LeavesOutJobsThatWerePurgedOrRedrivenMeanwhile) {
  const auto jobs = DieAll(4);
  RedriveMany(id_, jobs, Canary());
  Purge(jobs[1]);
  Redrive(jobs[2]);
  Succeed(jobs[0]);
  Load(All<LoadDead>().at(0));
  EXPECT_EQ(StateOf(jobs[1]), JobState::kDead);
  EXPECT_EQ(books.job(jobs[2]).generation, 2);
  EXPECT_EQ(books.job(jobs[3]).generation, 2);
}

TEST_F(RedrivesTest, GoesOnAfterARestartAtAnyMoment) {
  const auto jobs = DieAll(2);
  RedriveMany(id_, jobs, Canary());
  Restart();
  EXPECT_THAT(All<LoadDead>(), IsEmpty());
  Register("host/1");
  Worker("host/1#1", "register",
         RegisterBody("host/1", 1, Names({{TaskOf(jobs[0]).id, FenceOf(jobs[0])}})));
  Succeed(jobs[0]);
  // The canary's success was committed, what follows from it was not.
  Restart();
  ASSERT_THAT(All<LoadDead>(), SizeIs(1));
  Load(All<LoadDead>()[0]);
  EXPECT_EQ(books.job(jobs[1]).generation, 2);
  Restart();
  EXPECT_THAT(All<LoadDead>(), IsEmpty());
  Load({.redrive_id = id_, .job_ids = {jobs[1]}});
  EXPECT_EQ(books.job(jobs[1]).generation, 2);
}

TEST_F(RedrivesTest, GivesEachTheSamePatchAndRefusesOneThatDoesNotFit) {
  const auto jobs = DieAll(2);
  json output = ToJson(books.job(jobs[0]).request.spec)["outputs"][0];
  output["video"]["crf"] = 30;
  EXPECT_THROW(RedriveMany(id_, jobs, {{"patch", {{"outputs", 3}}}}), Error);
  EXPECT_THAT(books.redrives(), IsEmpty());
  RedriveMany(id_, jobs, {{"canary", true}, {"patch", {{"outputs", {output}}}}});
  Restart();
  Register("host/1");
  Worker("host/1#1", "register",
         RegisterBody("host/1", 1, Names({{TaskOf(jobs[0]).id, FenceOf(jobs[0])}})));
  Succeed(jobs[0]);
  Load(All<LoadDead>().at(0));
  for (const std::string& id : jobs) {
    EXPECT_EQ(books.job(id).request.spec.outputs[0].video->crf, 30);
  }
}

TEST_F(RedrivesTest, RefusesMoreThanTheQueueHolds) {
  const auto jobs = DieAll(3);
  options.max_queued = 2;
  Start();
  RedriveMany(id_, jobs);
  EXPECT_EQ(ReplyCode(), "queue_full");
  EXPECT_THAT(books.OpenLetters(), SizeIs(3));
  RedriveMany(id_, jobs, Canary());
  EXPECT_EQ(ReplyCode(), "queue_full");
  RedriveMany(id_, {jobs[0], jobs[1]}, Canary());
  EXPECT_EQ(ReplyCode(), "ok");
}

TEST_F(RedrivesTest, RefusesMoreThanTheDiskHolds) {
  const auto jobs = DieAll(2);
  options.min_free_bytes = 1000;
  Start();
  const int64_t each = PredictOutputBytes(books.job(jobs[0]));
  dispatcher->SetDisk(1000 + 2 * each - 1);
  RedriveMany(id_, jobs, Canary());
  EXPECT_EQ(ReplyCode(), "storage_full");
  dispatcher->SetDisk(1000 + 2 * each);
  RedriveMany(id_, jobs, Canary());
  EXPECT_EQ(ReplyCode(), "ok");
}

TEST_F(RedrivesTest, LeavesAWaitingJobAloneThatDiedAgain) {
  const auto jobs = DieAll(2);
  RedriveMany(id_, jobs, Canary());
  Redrive(jobs[1]);
  EXPECT_THAT(books.redrive(id_).waiting, IsEmpty());
  Succeed(jobs[0]);
  Load(All<LoadDead>().at(0));
  FailJob(jobs[1], ErrorCode::kNoStreams);
  Buried(jobs[1]);
  EXPECT_EQ(StateOf(jobs[1]), JobState::kDead);
  EXPECT_EQ(books.job(jobs[1]).generation, 2);
  EXPECT_EQ(books.redrive(id_).state, State::kReleased);
}

TEST_F(RedrivesTest, RefusesAMalformedId) { EXPECT_THROW(RedriveMany("../x", DieAll(1)), Error); }

}  // namespace
}  // namespace millrace::broker
