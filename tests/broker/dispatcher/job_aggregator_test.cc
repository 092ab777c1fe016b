#include "broker/dispatcher/job_aggregator.h"

#include <gtest/gtest.h>

#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

// A job of two tasks that a test moves by hand.
class JobAggregatorTest : public testing::Test {
 protected:
  JobAggregatorTest()
      : state_({}, Snapshot(), {}),
        draft_({}, state_),
        aggregator_(state_),
        entry_(state_.jobs.Add(NewJob(), {NewTask(), NewTask()}, {})) {}

  static Job NewJob() {
    Job job;
    job.id = NewJobId();
    return job;
  }
  static TaskRecord NewTask() {
    TaskRecord task;
    task.id = NewTaskId();
    return task;
  }

  // Moves a task and returns the state of its job.
  JobState Move(size_t task, TaskEvent event) {
    draft_.Advance(entry_.tasks[task], event);
    aggregator_.Follow(draft_, entry_);
    return entry_.job.state;
  }
  int Show(size_t task, int percent) {
    aggregator_.ShowProgress(draft_, entry_.tasks[task],
                             {.percent = percent, .phase = "transcoding", .fps = 25});
    return entry_.progress.percent;
  }

  DispatcherState state_;
  Draft draft_;
  JobAggregator aggregator_;
  JobEntry& entry_;
};

TEST_F(JobAggregatorTest, RunsWhileAnyTaskRunsAndPublishesWhenAllAreDone) {
  EXPECT_EQ(Move(0, TaskEvent::kLease), JobState::kRunning);
  EXPECT_EQ(Move(1, TaskEvent::kLease), JobState::kRunning);
  EXPECT_EQ(Move(0, TaskEvent::kRetry), JobState::kRunning);
  EXPECT_EQ(Move(1, TaskEvent::kFinish), JobState::kRetryWait);
  EXPECT_EQ(Move(0, TaskEvent::kDue), JobState::kQueued);
  EXPECT_EQ(Move(0, TaskEvent::kLease), JobState::kRunning);
  EXPECT_EQ(Move(0, TaskEvent::kFinish), JobState::kPublishing);
}

TEST_F(JobAggregatorTest, IsCancelledWhenTheLastRunningTaskHasStopped) {
  Move(0, TaskEvent::kLease);
  Move(1, TaskEvent::kLease);
  draft_.Advance(entry_.tasks[0], TaskEvent::kCancel);
  EXPECT_EQ(Move(1, TaskEvent::kCancel), JobState::kCancelling);
  EXPECT_EQ(Move(0, TaskEvent::kStopped), JobState::kCancelling);
  EXPECT_EQ(Move(1, TaskEvent::kStopped), JobState::kCancelled);
}

TEST_F(JobAggregatorTest, StaysAsItIsOnceATaskHasFailedForGood) {
  Move(0, TaskEvent::kLease);
  Move(1, TaskEvent::kLease);
  EXPECT_EQ(Move(0, TaskEvent::kFail), JobState::kRunning);
  EXPECT_EQ(Move(1, TaskEvent::kRequeue), JobState::kRunning);
  EXPECT_EQ(FailedTask(entry_), &entry_.tasks[0]);
}

TEST_F(JobAggregatorTest, ShowsTheMeanOfItsTasksWhichNeverFalls) {
  Move(0, TaskEvent::kLease);
  Move(1, TaskEvent::kLease);
  EXPECT_EQ(Show(0, 40), 20);
  EXPECT_EQ(Show(1, 60), 50);
  EXPECT_EQ(entry_.progress.fps, 50);
  EXPECT_EQ(Show(1, 0), 50);
  Move(0, TaskEvent::kFinish);
  EXPECT_EQ(Show(1, 90), 95);
}

TEST_F(JobAggregatorTest, ForgetsTheSpeedOfATaskThatHasEnded) {
  Move(0, TaskEvent::kLease);
  Move(1, TaskEvent::kLease);
  Show(0, 40);
  Show(1, 40);
  Move(0, TaskEvent::kRequeue);
  aggregator_.EndPace(entry_.tasks[0]);
  EXPECT_EQ(entry_.progress.percent, 40);
  EXPECT_EQ(entry_.progress.fps, 25);
}

}  // namespace
}  // namespace millrace::broker
