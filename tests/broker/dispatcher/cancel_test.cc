#include <gmock/gmock.h>

#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class CancelTest : public DispatcherTest {};

TEST_F(CancelTest, CancelsAWaitingJobAtOnce) {
  const std::string queued = Submit();
  Cancel(queued);
  EXPECT_EQ(State(queued), JobState::kCancelled);
  EXPECT_EQ(Reply().body["job"]["state"], "cancelled");
  EXPECT_EQ(books.job(queued).finished_at, clock.WallNow());
  EXPECT_EQ(dispatcher->Find(queued), nullptr);
  EXPECT_EQ(dispatcher->QueueView(now())["queued"], 0);
  Register("host/1");
  EXPECT_THAT(Sent("host/1#1", "assign"), IsEmpty());

  const std::string retried = Submit();
  FailJob(retried, ErrorCode::kStorageError);
  Cancel(retried);
  EXPECT_EQ(State(retried), JobState::kCancelled);
  EXPECT_EQ(TaskOf(retried).due_at, std::nullopt);
  EXPECT_THAT(Discarded(), ElementsAre(1));
  Advance(1s);
  EXPECT_EQ(State(retried), JobState::kCancelled);
}

TEST_F(CancelTest, TellsTheWorkerOfARunningJobUntilItHasStopped) {
  Register("host/1");
  const std::string id = Submit();
  Cancel(id);
  EXPECT_EQ(State(id), JobState::kCancelling);
  EXPECT_EQ(Reply().body["job"]["state"], "cancelling");
  ASSERT_EQ(Sent("host/1#1", "cancel").size(), 1u);
  EXPECT_EQ(Sent("host/1#1", "cancel")[0].body, json({{"task", TaskOf(id).id}, {"fence", 1}}));
  BeatAll("host/1", 50);
  EXPECT_EQ(Sent("host/1#1", "orders").at(0).body["cancel"], Names({{TaskOf(id).id, 1}}));
  Cancel(id);
  EXPECT_EQ(ReplyCode(), "ok");
  ReleaseJob(id, "cancelled");
  EXPECT_EQ(State(id), JobState::kCancelled);
  EXPECT_THAT(Discarded(), ElementsAre(1));
  EXPECT_EQ(books.attempt(1).outcome, "cancelled");
  Release("host/1#1", TaskOf(id).id, 1, "cancelled");
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
}

TEST_F(CancelTest, EndsInCancelledHoweverTheRaceWithTheWorkerEnds) {
  Register("host/1", 4);
  const std::string finished = Submit();
  const std::string failed = Submit();
  const std::string drained = Submit();
  const std::string lost = Submit();
  for (const std::string& id : {finished, failed, drained, lost}) Cancel(id);
  FinishJob(finished);
  EXPECT_THAT(All<PublishOutputs>(), IsEmpty());
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
  EXPECT_THAT(Discarded(), ElementsAre(FenceOf(finished)));
  Finish("host/1#1", TaskOf(finished).id, FenceOf(finished));
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
  FailJob(failed, ErrorCode::kEncoderCrashed);
  EXPECT_THAT(All<Bury>(), IsEmpty());
  ReleaseJob(drained, "draining");
  Advance(15s);
  for (const std::string& id : {finished, failed, drained, lost}) {
    EXPECT_EQ(State(id), JobState::kCancelled);
  }
  // A worker that comes back with it is told to stop.
  Register("host/1");
  Beat("host/1#1", {BeatTask(TaskOf(lost).id, FenceOf(lost))});
  EXPECT_EQ(Sent("host/1#1", "orders").at(0).body["lost"].size(), 1u);
}

TEST_F(CancelTest, GoesOnAfterARestart) {
  Register("host/1");
  const std::string id = Submit();
  Cancel(id);
  Restart();
  Worker("host/1#1", "register", RegisterBody("host/1", 1, Names({{TaskOf(id).id, 1}})));
  EXPECT_EQ(Sent("host/1#1", "cancel").size(), 1u);
  ReleaseJob(id, "cancelled");
  EXPECT_EQ(State(id), JobState::kCancelled);
}

TEST_F(CancelTest, IsRefusedOnceTheJobIsDone) {
  Register("host/1", 2);
  const std::string done = Submit();
  const std::string failed = Submit();
  FinishJob(done);
  Cancel(done);
  EXPECT_EQ(ReplyCode(), "job_finished");
  FailJob(failed, ErrorCode::kNoStreams);
  Cancel(failed);
  EXPECT_EQ(ReplyCode(), "job_finished");
  Published(done);
  Buried(failed);
  EXPECT_EQ(State(done), JobState::kSucceeded);
  EXPECT_EQ(State(failed), JobState::kDead);
  Cancel(NewJobId());
  EXPECT_EQ(ReplyCode(), "job_not_found");
}

}  // namespace
}  // namespace millrace::broker
