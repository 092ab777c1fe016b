#include <gmock/gmock.h>

#include "tests/broker/dispatcher/harness.h"

// Whose fault it is when much fails: one worker's, or the fleet's.

namespace millrace::broker {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

class HealthTest : public DispatcherTest {
 protected:
  json View(const std::string& name) const {
    const json views = dispatcher->WorkersView(now());
    for (const json& view : views["workers"]) {
      if (view["name"] == name) return view;
    }
    return nullptr;
  }
  std::string Breaker(const std::string& name) const { return View(name)["breaker"]["state"]; }
  bool Paused() const { return dispatcher->QueueView(now())["retries_paused"]; }
  void FailOn(const std::string& name, const std::string& job, ErrorCode code) {
    ASSERT_EQ(TaskOf(job).last_worker, name);
    FailJob(job, code);
  }
  void Pass(std::chrono::milliseconds time, const std::vector<std::string>& workers) {
    clock.Advance(time);
    for (const std::string& name : workers) BeatAll(name);
    Do(dispatcher->OnTick(now()));
  }
};

class BreakerTest : public HealthTest {
 protected:
  // Three jobs fail on host/1, while host/2 has one that is running.
  void Break() {
    Register("host/2");
    held_ = Submit();
    Register("host/1");
    for (int i = 0; i < 3; ++i) FailOn("host/1", Submit({.max_attempts = 1}), kFault);
  }

  static constexpr ErrorCode kFault = ErrorCode::kEncodeFailed;
  std::string held_;
};

TEST_F(BreakerTest, StopsLeasingToAWorkerOnWhichDifferentJobsFail) {
  Break();
  EXPECT_EQ(Breaker("host/1"), "open");
  EXPECT_EQ(View("host/1")["breaker"]["failures"], 3);
  EXPECT_EQ(View("host/1")["breaker"]["half_open_in_seconds"], 30.0);
  EXPECT_EQ(Breaker("host/2"), "closed");
  ASSERT_THAT(All<Warn>(), SizeIs(1));
  EXPECT_EQ(All<Warn>()[0].fields["worker"], "host/1");
  EXPECT_EQ(Announced("worker").at(0)["event"], "breaker_open");
  const std::string waits = Submit();
  EXPECT_EQ(State(waits), JobState::kQueued);
  FinishJob(held_);
  EXPECT_EQ(TaskOf(waits).last_worker, "host/2");
}

TEST_F(BreakerTest, TriesOneTaskAfterAWhileAndTrustsTheWorkerAgainIfItSucceeds) {
  Break();
  Worker("host/1#1", "register", RegisterBody("host/1", 2));
  const std::string first = Submit();
  const std::string second = Submit();
  EXPECT_EQ(dispatcher->NextDeadline(), clock.Now() + options.lease);
  Pass(10s, {"host/1", "host/2"});
  Pass(10s, {"host/1", "host/2"});
  EXPECT_EQ(dispatcher->NextDeadline(), clock.Now() + 10s);
  Pass(10s, {"host/1", "host/2"});
  EXPECT_EQ(Breaker("host/1"), "half_open");
  EXPECT_EQ(TaskOf(first).last_worker, "host/1");
  EXPECT_EQ(State(second), JobState::kQueued);
  FinishJob(first);
  EXPECT_EQ(Breaker("host/1"), "closed");
  EXPECT_EQ(Announced("worker").at(0)["event"], "breaker_closed");
  EXPECT_EQ(TaskOf(second).last_worker, "host/1");
}

TEST_F(BreakerTest, OpensAgainIfThatTaskFails) {
  Break();
  Pass(10s, {"host/1", "host/2"});
  Pass(20s, {"host/1", "host/2"});
  FailOn("host/1", Submit(), kFault);
  EXPECT_EQ(Breaker("host/1"), "open");
  EXPECT_EQ(View("host/1")["breaker"]["half_open_in_seconds"], 60.0);
}

TEST_F(BreakerTest, CountsTheFailuresThatMayBeTheWorkers) {
  for (const auto& [code, counts] : std::map<ErrorCode, bool>{{ErrorCode::kEncoderCrashed, true},
                                                              {ErrorCode::kInputUnreadable, true},
                                                              {ErrorCode::kWorkerDiskFull, true},
                                                              {ErrorCode::kTruncatedOutput, true},
                                                              {ErrorCode::kNoStreams, false},
                                                              {ErrorCode::kStorageFull, false}}) {
    SCOPED_TRACE(TraitsOf(code).name);
    Register("host/2");
    const std::string held = Submit();
    Register("host/1", 3);
    const std::vector<std::string> jobs = {Submit(), Submit(), Submit()};
    for (const std::string& job : jobs) FailOn("host/1", job, code);
    EXPECT_EQ(Breaker("host/1"), counts ? "open" : "closed");
    books = Books();
    Start();
  }
}

TEST_F(BreakerTest, LeavesTheOnlyWorkerAlone) {
  Register("host/1");
  for (int i = 0; i < 5; ++i) FailOn("host/1", Submit({.max_attempts = 1}), kFault);
  EXPECT_EQ(Breaker("host/1"), "closed");
}

TEST_F(BreakerTest, RelentsWhenTheOtherWorkersLeave) {
  Break();
  const std::string waits = Submit();
  Worker("host/2#1", "goodbye", json::object());
  EXPECT_EQ(Breaker("host/1"), "half_open");
  // The one that was running there comes first.
  EXPECT_EQ(TaskOf(held_).last_worker, "host/1");
  EXPECT_EQ(State(waits), JobState::kQueued);
}

TEST_F(BreakerTest, StaysOpenWhenTheWorkerRestarts) {
  Break();
  Worker("host/1#1", "goodbye", json::object());
  Register("host/1");
  EXPECT_EQ(Breaker("host/1"), "open");
  EXPECT_EQ(State(Submit()), JobState::kQueued);
}

class SpikeTest : public HealthTest {
 protected:
  SpikeTest() { Register("host/1", 20); }

  // Ten jobs fail on the only worker, each at its last attempt; returns them.
  std::vector<std::string> Strike(ErrorCode code = ErrorCode::kInputUnreadable) {
    std::vector<std::string> jobs;
    for (int i = 0; i < 10; ++i) jobs.push_back(Submit({.max_attempts = 1}));
    for (const std::string& job : jobs) FailJob(job, code);
    return jobs;
  }
  void Wait(std::chrono::seconds time) {
    for (auto left = time; left.count() > 0; left -= std::min(left, 10s)) {
      Pass(std::min(left, 10s), {"host/1"});
    }
  }
  size_t CountOf(const std::vector<std::string>& jobs, JobState state) const {
    size_t count = 0;
    for (const std::string& job : jobs) count += State(job) == state ? 1 : 0;
    return count;
  }
};

TEST_F(SpikeTest, PausesRetriesInsteadOfFillingTheDeadLetters) {
  for (const ErrorCode code : {ErrorCode::kInputUnreadable, ErrorCode::kEncodeFailed}) {
    const auto jobs = Strike(code);
    EXPECT_TRUE(Paused());
    EXPECT_EQ(dispatcher->QueueView(now())["retries_paused_seconds"], 30.0);
    EXPECT_THAT(All<Warn>(), SizeIs(1));
    // The tenth was the one that showed it; those before are on their way.
    EXPECT_EQ(CountOf(jobs, JobState::kRetryWait), 1u);
    const std::string more = Submit({.max_attempts = 1});
    FailJob(more, code);
    EXPECT_EQ(State(more), JobState::kRetryWait);
    EXPECT_EQ(TaskOf(more).attempts_spent, 0);
    EXPECT_EQ(dispatcher->Live(more).retry_at, clock.WallNow() + 30s);
    books = Books();
    Start();
    Register("host/1", 20);
  }
}

TEST_F(SpikeTest, HoldsBackCrashesToo) {
  options.retry_base = 1ms;
  Start();
  Register("host/1", 20);
  Register("host/2", 20);
  std::vector<std::string> jobs;
  for (int i = 0; i < 12; ++i) jobs.push_back(Submit({.max_attempts = 3}));
  for (const std::string& job : jobs) FailJob(job, ErrorCode::kInputUnreadable);
  ASSERT_TRUE(Paused());
  const std::string crashed = Submit({.max_attempts = 1});
  FailJob(crashed, ErrorCode::kEncoderCrashed);
  EXPECT_EQ(State(crashed), JobState::kRetryWait);
  EXPECT_THAT(TaskOf(crashed).crashed_workers, IsEmpty());
  // What is known of the media stays known.
  const std::string broken = Submit();
  FailJob(broken, ErrorCode::kCorruptMedia);
  EXPECT_EQ(TaskOf(broken).state, TaskState::kFailed);
}

TEST_F(SpikeTest, RunsFreshJobsMeanwhile) {
  Strike();
  EXPECT_EQ(State(Submit()), JobState::kRunning);
}

TEST_F(SpikeTest, HoldsDueRetriesBackAndSendsOneAfterThePause) {
  std::vector<std::string> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(Submit());
  for (const std::string& job : jobs) FailJob(job, ErrorCode::kInputUnreadable);
  ASSERT_TRUE(Paused());
  // They are due after half a second each.
  Wait(29s);
  EXPECT_EQ(CountOf(jobs, JobState::kRetryWait), 10u);
  EXPECT_EQ(dispatcher->Live(jobs[0]).retry_at, clock.WallNow() + 1s);
  Wait(1s);
  EXPECT_EQ(CountOf(jobs, JobState::kRetryWait), 9u);
  ASSERT_EQ(State(jobs[0]), JobState::kRunning);
  Wait(60s);
  EXPECT_EQ(CountOf(jobs, JobState::kRetryWait), 9u);
  FinishJob(jobs[0]);
  EXPECT_FALSE(Paused());
  Do(dispatcher->OnTick(now()));
  EXPECT_EQ(CountOf(jobs, JobState::kRunning), 9u);
}

TEST_F(SpikeTest, PausesLongerWhenTheCanaryFails) {
  std::vector<std::string> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(Submit());
  for (const std::string& job : jobs) FailJob(job, ErrorCode::kInputUnreadable);
  Wait(30s);
  FailJob(jobs[0], ErrorCode::kInputUnreadable);
  EXPECT_EQ(TaskOf(jobs[0]).attempts_spent, 2);
  EXPECT_EQ(dispatcher->QueueView(now())["retries_paused_seconds"], 60.0);
  Wait(59s);
  EXPECT_EQ(CountOf(jobs, JobState::kRetryWait), 10u);
  Wait(1s);
  EXPECT_EQ(CountOf(jobs, JobState::kRunning), 1u);
}

TEST_F(SpikeTest, SendsAnotherCanaryWhenOneIsCancelledOrLost) {
  std::vector<std::string> jobs;
  for (int i = 0; i < 10; ++i) jobs.push_back(Submit());
  for (const std::string& job : jobs) FailJob(job, ErrorCode::kInputUnreadable);
  // A retry that waits for the pause can be cancelled like any other.
  Wait(1s);
  Cancel(jobs[9]);
  EXPECT_EQ(State(jobs[9]), JobState::kCancelled);
  Wait(29s);
  Cancel(jobs[0]);
  ReleaseJob(jobs[0], "cancelled");
  Do(dispatcher->OnTick(now()));
  EXPECT_EQ(State(jobs[1]), JobState::kRunning);
  EXPECT_EQ(CountOf(jobs, JobState::kRetryWait), 7u);
  EXPECT_TRUE(Paused());
  Cancel(jobs[2]);
  EXPECT_EQ(State(jobs[2]), JobState::kCancelled);
  FailJob(jobs[1], ErrorCode::kCorruptMedia);
  Do(dispatcher->OnTick(now()));
  EXPECT_EQ(State(jobs[3]), JobState::kRunning);
}

TEST_F(SpikeTest, BuriesJobsThatStillFailAfterTheLastPause) {
  options.retry_base = 1ms;
  Start();
  Register("host/1", 20);
  std::vector<std::string> jobs;
  for (int i = 0; i < 12; ++i) jobs.push_back(Submit());
  const auto deadline = clock.Now() + 2h;
  while (CountOf(jobs, JobState::kDead) < jobs.size() && clock.Now() < deadline) {
    for (const std::string& job : jobs) {
      if (State(job) == JobState::kRunning && TaskOf(job).state == TaskState::kLeased) {
        FailJob(job, ErrorCode::kEncodeFailed);
      }
      if (TaskOf(job).state == TaskState::kFailed && State(job) != JobState::kDead) Buried(job);
    }
    Pass(1s, {"host/1"});
  }
  EXPECT_EQ(CountOf(jobs, JobState::kDead), jobs.size());
}

}  // namespace
}  // namespace millrace::broker
