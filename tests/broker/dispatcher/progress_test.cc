#include <gmock/gmock.h>

#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class ProgressTest : public DispatcherTest {
 protected:
  int Percent(const std::string& id) const { return dispatcher->Live(id).progress.percent; }
  json Running(const std::string& id, int percent) const {
    return {BeatTask(TaskOf(id).id, FenceOf(id), percent)};
  }
};

TEST_F(ProgressTest, ShowsTheOldPercentAfterARestartUntilTheWorkerReportsMore) {
  Register("host/1");
  const std::string id = Submit();
  BeatAll("host/1", 40);
  Restart();
  EXPECT_EQ(Percent(id), 40);
  Worker("host/1#1", "register", RegisterBody("host/1", 1, Running(id, 45)));
  EXPECT_EQ(Percent(id), 45);
  ASSERT_THAT(Announced("progress"), SizeIs(1));
  EXPECT_EQ(Announced("progress")[0]["percent"], 45);
  EXPECT_EQ(Announced("progress")[0]["phase"], "transcoding");
}

TEST_F(ProgressTest, NeverFallsOverRestartsLostAttemptsAndRetries) {
  Register("host/1");
  const std::string id = Submit();
  BeatAll("host/1", 40);
  Restart();
  Worker("host/1#1", "register", RegisterBody("host/1", 1, Running(id, 20)));
  EXPECT_EQ(Percent(id), 40);
  // Lost: nobody beats.
  Restart();
  Advance(15s);
  ASSERT_EQ(State(id), JobState::kQueued);
  EXPECT_EQ(Percent(id), 40);
  Register("host/1");
  BeatAll("host/1", 10);
  EXPECT_EQ(Percent(id), 40);
  FailJob(id, ErrorCode::kInputUnreadable);
  Restart();
  EXPECT_EQ(Percent(id), 40);
  Register("host/1");
  Advance(10s);
  BeatAll("host/1", 50);
  EXPECT_EQ(Percent(id), 50);
}

TEST_F(ProgressTest, ADeadJobKeepsThePercentThatWasShown) {
  Register("host/1");
  const std::string id = Submit();
  BeatAll("host/1", 40);
  FailJob(id, ErrorCode::kNoStreams);
  EXPECT_EQ(books.job(id).last_progress, Progress());
  Buried(id);
  ASSERT_EQ(State(id), JobState::kDead);
  const Progress expected{.percent = 40, .phase = "", .eta_seconds = {}, .outputs = {{"web", 40}}};
  EXPECT_EQ(books.job(id).last_progress, expected);
}

TEST_F(ProgressTest, ACancelledJobKeepsThePercentThatWasShown) {
  Register("host/1");
  const std::string running = Submit();
  BeatAll("host/1", 40);
  Cancel(running);
  EXPECT_EQ(books.job(running).last_progress, Progress());
  BeatAll("host/1", 60);
  ReleaseJob(running, "cancelled");
  ASSERT_EQ(State(running), JobState::kCancelled);
  EXPECT_EQ(books.job(running).last_progress.percent, 40);

  const std::string waiting = Submit();
  BeatAll("host/1", 30);
  FailJob(waiting, ErrorCode::kInputUnreadable);
  Cancel(waiting);
  ASSERT_EQ(State(waiting), JobState::kCancelled);
  EXPECT_EQ(books.job(waiting).last_progress.percent, 30);
}

TEST_F(ProgressTest, StartsAtZeroInTheNextGenerationAlsoAfterARestart) {
  Register("host/1");
  const std::string id = Submit();
  BeatAll("host/1", 40);
  FailJob(id, ErrorCode::kNoStreams);
  Buried(id);
  Redrive(id);
  EXPECT_EQ(Percent(id), 0);
  EXPECT_EQ(books.job(id).last_progress, Progress());
  Restart();
  EXPECT_EQ(Percent(id), 0);
}

TEST_F(ProgressTest, AcceptsARegistrationWithoutProgress) {
  Register("host/1");
  const std::string id = Submit();
  Worker("host/1#1", "register", RegisterBody("host/1", 1, Names({{TaskOf(id).id, FenceOf(id)}})));
  EXPECT_THAT(Announced("progress"), IsEmpty());
  EXPECT_THROW(
      Worker("host/1#1", "register",
             RegisterBody("host/1", 1, {{{"task", TaskOf(id).id}, {"fence", 1}, {"progress", 3}}})),
      Error);
}

TEST_F(ProgressTest, CapsThePercentOfTheLogAt99) {
  const std::string id = Submit();
  shown[{id, 1}] = 700;
  Restart();
  EXPECT_EQ(Percent(id), 99);
}

}  // namespace
}  // namespace millrace::broker
