#include <gmock/gmock.h>

#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LeaseTest : public DispatcherTest {};

TEST_F(LeaseTest, EndsALeaseUnlessBeatsRenewIt) {
  Register("host/1", 2);
  const std::string kept = Submit();
  const std::string dropped = Submit();
  for (int i = 0; i < 2; ++i) {
    Advance(10s);
    Beat("host/1#1", {BeatTask(TaskOf(kept).id, 1)});
  }
  EXPECT_EQ(books.attempt(1).outcome, "running");
  EXPECT_EQ(books.attempt(2).outcome, "lost");
  EXPECT_EQ(books.attempt(2).failure["error"]["code"], "lease_lost");
  // It goes back to the queue and, as there is no other worker, to the same one.
  EXPECT_THAT(books.EventsOf(dropped), ElementsAre(JobEvent::kSubmit, JobEvent::kStart,
                                                   JobEvent::kRequeue, JobEvent::kStart));
  EXPECT_EQ(TaskOf(dropped).attempts_spent, 0);
  EXPECT_EQ(TaskOf(dropped).infrastructure_failures, 1);
}

TEST_F(LeaseTest, ReturnsTheTaskToTheQueueWhenItsWorkerDisappears) {
  Register("host/1");
  const std::string id = Submit();
  ASSERT_EQ(dispatcher->NextDeadline(), clock.Now() + 15s);
  Advance(15s);
  EXPECT_EQ(State(id), JobState::kQueued);
  EXPECT_EQ(books.attempt(1).failure["error"]["code"], "worker_lost");
  EXPECT_THAT(Discarded(), ElementsAre(1));
  EXPECT_EQ(dispatcher->WorkersView(now())["workers"].size(), 0u);
  ASSERT_EQ(Announced("worker").size(), 1u);
  EXPECT_EQ(Announced("worker")[0]["event"], "lost");
  Register("host/2");
  EXPECT_EQ(TaskOf(id).fence, 2);
  EXPECT_EQ(TaskOf(id).last_worker, "host/2");
}

TEST_F(LeaseTest, AnswersAStaleFenceWithLeaseLostAndChangesNothing) {
  Register("host/1");
  const std::string id = Submit();
  Advance(15s);
  Register("host/2");
  const std::string task = TaskOf(id).id;
  const size_t events = books.events().size();
  Finish("host/1#1", task, 1);
  EXPECT_EQ(Sent("host/1#1", "lease_lost").size(), 1u);
  EXPECT_EQ(Sent("host/1#1", "unknown_worker").size(), 1u);
  Fail("host/1#1", task, 1, ErrorCode::kCorruptMedia);
  EXPECT_EQ(Sent("host/1#1", "lease_lost").size(), 1u);
  Release("host/1#1", task, 1, "draining");
  EXPECT_EQ(Sent("host/1#1", "lease_lost").size(), 1u);
  Worker("host/1#1", "started", {{"task", task}, {"fence", 1}});
  EXPECT_EQ(Sent("host/1#1", "lease_lost").size(), 1u);
  Finish("host/1#1", task, 99);
  EXPECT_EQ(Sent("host/1#1", "lease_lost").size(), 1u);
  EXPECT_EQ(books.events().size(), events);
  EXPECT_EQ(State(id), JobState::kRunning);
  EXPECT_EQ(books.attempt(2).outcome, "running");
}

TEST_F(LeaseTest, NamesLostLeasesInOrders) {
  Register("host/1", 2);
  const std::string id = Submit();
  Beat("host/1#1", {BeatTask(TaskOf(id).id, 1), BeatTask(TaskOf(id).id, 7), BeatTask("tsk_x", 1)});
  const auto orders = Sent("host/1#1", "orders");
  ASSERT_EQ(orders.size(), 1u);
  EXPECT_EQ(orders[0].id, "w1");
  EXPECT_EQ(orders[0].body["lost"], Names({{TaskOf(id).id, 7}, {"tsk_x", 1}}));
}

TEST_F(LeaseTest, RepeatsAnAssignUntilABeatListsIt) {
  Register("host/1");
  const std::string id = Submit();
  const json assigned = Sent("host/1#1", "assign").at(0).body;
  Beat("host/1#1");
  ASSERT_EQ(Sent("host/1#1", "assign").size(), 1u);
  EXPECT_EQ(Sent("host/1#1", "assign")[0].body, assigned);
  BeatAll("host/1");
  EXPECT_THAT(Sent("host/1#1", "assign"), IsEmpty());
  Beat("host/1#1");
  EXPECT_THAT(Sent("host/1#1", "assign"), IsEmpty());
}

TEST_F(LeaseTest, AcknowledgesRepeatedReportsAlsoWhenTheJobHasEnded) {
  Register("host/1");
  const std::string id = Submit();
  const std::string task = TaskOf(id).id;
  for (int i = 0; i < 2; ++i) {
    Finish("host/1#1", task, 1);
    ASSERT_EQ(Sent("host/1#1", "ack").size(), 1u);
    EXPECT_EQ(Sent("host/1#1", "ack")[0].body, json({{"task", task}, {"fence", 1}}));
    EXPECT_EQ(All<PublishOutputs>().size(), i == 0 ? 1u : 0u);
  }
  // A beat that still lists it is not told that it lost anything.
  Beat("host/1#1", {BeatTask(task, 1)});
  EXPECT_THAT(Sent("host/1#1", "orders").at(0).body["lost"], IsEmpty());
  Published(id);
  Finish("host/1#1", task, 1);
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
  Fail("host/1#1", task, 1, ErrorCode::kCorruptMedia);
  EXPECT_EQ(Sent("host/1#1", "lease_lost").size(), 1u);
}

TEST_F(LeaseTest, ShowsAPercentThatNeverFallsAlsoOverAttempts) {
  Register("host/1");
  const std::string id = Submit();
  BeatAll("host/1", 60);
  ASSERT_EQ(Announced("progress").size(), 1u);
  EXPECT_EQ(Announced("progress")[0],
            json({{"job", id}, {"generation", 1}, {"percent", 60}, {"phase", "transcoding"}}));
  BeatAll("host/1", 60);
  EXPECT_THAT(Announced("progress"), IsEmpty());
  BeatAll("host/1", 50);
  EXPECT_EQ(dispatcher->Live(id).progress.percent, 60);
  FailJob(id, ErrorCode::kEncodeFailed);
  Advance(1s);
  ASSERT_EQ(State(id), JobState::kRunning);
  BeatAll("host/1", 3);
  EXPECT_EQ(dispatcher->Live(id).progress.percent, 60);
  EXPECT_EQ(dispatcher->Live(id).progress.outputs.at(0).second, 60);
  BeatAll("host/1", 100);
  EXPECT_EQ(dispatcher->Live(id).progress.percent, 99);
}

TEST_F(LeaseTest, KeepsTheMediaThatABeatReports) {
  Register("host/1");
  const std::string id = Submit();
  json task = BeatTask(TaskOf(id).id, 1);
  task["media"] = {{"duration", 3}};
  Beat("host/1#1", {task});
  EXPECT_EQ(dispatcher->Find(id)->media, json({{"duration", 3}}));
  FailJob(id, ErrorCode::kEncodeFailed);
  EXPECT_EQ(books.job(id).media, json({{"duration", 3}}));
}

TEST_F(LeaseTest, RefusesAWrongBeatBeforeAnythingChanges) {
  Register("host/1");
  const std::string id = Submit();
  EXPECT_THROW(Beat("host/1#1", {BeatTask(TaskOf(id).id, 1, 50), {{"task", 3}}}), Error);
  EXPECT_EQ(dispatcher->Live(id).progress.percent, 0);
}

TEST_F(LeaseTest, TellsAnUnknownInstanceToRegister) {
  Beat("ghost#1");
  ASSERT_EQ(effects.size(), 1u);
  EXPECT_EQ(Sent("ghost#1", "unknown_worker").size(), 1u);
}

TEST_F(LeaseTest, AcceptsACurrentFenceFromAForgottenInstance) {
  Register("host/1");
  const std::string id = Submit();
  Restart();
  Finish("host/1#1", TaskOf(id).id, 1);
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
  EXPECT_EQ(Sent("host/1#1", "unknown_worker").size(), 1u);
  EXPECT_EQ(State(id), JobState::kPublishing);
}

TEST_F(LeaseTest, RequeuesTasksThatARestartedWorkerDoesNotList) {
  Register("host/1", 2);
  const std::string kept = Submit();
  const std::string gone = Submit();
  Worker("host/1#2", "register",
         RegisterBody("host/1", 2, Names({{TaskOf(kept).id, 1}, {"tsk_old", 9}})));
  EXPECT_EQ(Sent("host/1#2", "registered").at(0).body["lost"], Names({{"tsk_old", 9}}));
  EXPECT_EQ(books.attempt(1).outcome, "running");
  EXPECT_EQ(books.attempt(2).outcome, "lost");
  EXPECT_EQ(books.attempt(2).failure["error"]["code"], "worker_lost");
  EXPECT_EQ(FenceOf(gone), 3);  // and given to it again
  EXPECT_EQ(Sent("host/1#2", "assign").size(), 1u);
  EXPECT_EQ(dispatcher->WorkersView(now())["workers"].size(), 1u);
  // The earlier process is unknown now.
  Beat("host/1#1");
  EXPECT_EQ(Sent("host/1#1", "unknown_worker").size(), 1u);
}

TEST_F(LeaseTest, KeepsLeasesWhenTheSameInstanceRegistersAgain) {
  Register("host/1", 2);
  const std::string id = Submit();
  Register("host/1", 2);
  EXPECT_EQ(books.attempt(1).outcome, "running");
  // It had not been acknowledged, so it is assigned again.
  EXPECT_EQ(Sent("host/1#1", "assign").size(), 1u);
  EXPECT_EQ(Sent("host/1#1", "registered").at(0).body["lease_seconds"], 15.0);
  EXPECT_EQ(Sent("host/1#1", "registered").at(0).body["beat_seconds"], 5.0);
  EXPECT_EQ(dispatcher->QueueView(now())["busy_slots"], 1);
}

TEST_F(LeaseTest, RefusesAnInstanceThatChangesItsName) {
  Register("host/1");
  EXPECT_THROW(Worker("host/1#1", "register", RegisterBody("host/2", 1)), Error);
}

TEST_F(LeaseTest, GivesADrainingWorkerNoMoreTasks) {
  Register("host/1", 2);
  Beat("host/1#1", json::array(), /*draining=*/true);
  EXPECT_EQ(Announced("worker").at(0)["event"], "draining");
  const std::string id = Submit();
  EXPECT_EQ(State(id), JobState::kQueued);
  EXPECT_EQ(dispatcher->WorkersView(now())["workers"][0]["state"], "draining");
}

TEST_F(LeaseTest, RequeuesTasksThatADrainingWorkerHandsBack) {
  Register("host/1");
  const std::string id = Submit();
  ReleaseJob(id, "draining");
  EXPECT_EQ(State(id), JobState::kQueued);
  EXPECT_EQ(books.attempt(1).outcome, "released");
  EXPECT_EQ(TaskOf(id).attempts_spent, 0);
  EXPECT_THAT(Discarded(), ElementsAre(1));
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
  Release("host/1#1", TaskOf(id).id, 1, "draining");
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
}

TEST_F(LeaseTest, RequeuesTheTasksOfALeavingWorkerAtOnce) {
  Register("host/1");
  const std::string id = Submit();
  Worker("host/1#1", "goodbye", json::object());
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
  EXPECT_EQ(Announced("worker").at(0)["event"], "left");
  EXPECT_EQ(State(id), JobState::kQueued);
  Worker("host/1#1", "goodbye", json::object());
  EXPECT_EQ(Sent("host/1#1", "ack").size(), 1u);
}

TEST_F(LeaseTest, GivesNothingToAWorkerWhoseConnectionBrokeUntilItIsHeard) {
  Register("host/1", 2);
  const std::string running = Submit();
  Do(dispatcher->OnWorkerGone("host/1#1", now()));
  EXPECT_EQ(State(running), JobState::kRunning);
  EXPECT_EQ(dispatcher->WorkersView(now())["workers"][0]["state"], "unreachable");
  const std::string waiting = Submit();
  EXPECT_EQ(State(waiting), JobState::kQueued);
  BeatAll("host/1");
  EXPECT_EQ(State(waiting), JobState::kRunning);
}

TEST_F(LeaseTest, RequeuesTheTasksOfAWorkerThatDoesNotReconnect) {
  Register("host/1");
  const std::string id = Submit();
  Register("host/2");
  Do(dispatcher->OnWorkerGone("host/1#1", now()));
  ASSERT_EQ(dispatcher->NextDeadline(), clock.Now() + 700ms);
  Advance(400ms);
  // As of a message that could not be delivered; it has been gone since the first time.
  Do(dispatcher->OnWorkerGone("host/1#1", now()));
  EXPECT_EQ(FenceOf(id), 1);
  Advance(300ms);
  EXPECT_EQ(books.attempt(1).outcome, "lost");
  EXPECT_EQ(books.attempt(1).failure["error"]["code"], "worker_lost");
  EXPECT_EQ(FenceOf(id), 2);
  EXPECT_EQ(TaskOf(id).last_worker, "host/2");
  EXPECT_EQ(TaskOf(id).attempts_spent, 0);
  EXPECT_EQ(Announced("worker").at(0)["event"], "lost");
  // If it lived after all, it is told that it is too late.
  Beat("host/1#1", {BeatTask(TaskOf(id).id, 1)});
  EXPECT_EQ(Sent("host/1#1", "unknown_worker").size(), 1u);
  Worker("host/1#1", "register", RegisterBody("host/1", 1, Names({{TaskOf(id).id, 1}})));
  EXPECT_EQ(Sent("host/1#1", "registered").at(0).body["lost"].size(), 1u);
}

TEST_F(LeaseTest, ALateMessageDoesNotReviveItsWorker) {
  Register("host/1", 2);
  const std::string finished = Submit();
  const std::string running = Submit();
  const std::string waiting = Submit();
  Do(dispatcher->OnWorkerGone("host/1#1", now()));
  Advance(600ms);
  const json lease = {{"instance", "host/1#1"},
                      {"task", TaskOf(finished).id},
                      {"fence", FenceOf(finished)},
                      {"manifest", ManifestJson()},
                      {"usage", json::object()}};
  Do(dispatcher->OnWorker("host/1#1", {.type = "finished", .id = "w1", .body = lease}, now(),
                          Heard::kLate));
  EXPECT_EQ(State(finished), JobState::kPublishing);
  EXPECT_EQ(State(waiting), JobState::kQueued);
  // It has been gone since its connection closed.
  Advance(100ms);
  EXPECT_EQ(Announced("worker").at(0)["event"], "lost");
  EXPECT_EQ(State(running), JobState::kQueued);
  EXPECT_EQ(books.attempts().size(), 2u);
}

TEST_F(LeaseTest, GivesNothingToAWorkerWhoseMessageCameLate) {
  Register("host/1");
  const std::string id = Submit();
  const json released = {{"instance", "host/1#1"},
                         {"task", TaskOf(id).id},
                         {"fence", FenceOf(id)},
                         {"reason", "draining"}};
  Do(dispatcher->OnWorker("host/1#1", {.type = "released", .id = "w1", .body = released}, now(),
                          Heard::kLate));
  EXPECT_EQ(State(id), JobState::kQueued);
  EXPECT_EQ(dispatcher->WorkersView(now())["workers"][0]["state"], "unreachable");
}

TEST_F(LeaseTest, KeepsTheTasksOfAWorkerThatComesBackOnAnotherConnection) {
  Register("host/1");
  const std::string id = Submit();
  Register("host/2");
  for (int i = 0; i < 3; ++i) {
    Do(dispatcher->OnWorkerGone("host/1#1", now()));
    Advance(699ms);
    BeatAll("host/1");
  }
  BeatAll("host/2");
  Advance(14s);
  EXPECT_EQ(FenceOf(id), 1);
  EXPECT_EQ(books.attempt(1).outcome, "running");
  // Registering again does as well.
  Do(dispatcher->OnWorkerGone("host/1#1", now()));
  Worker("host/1#1", "register", RegisterBody("host/1", 1, Names({{TaskOf(id).id, 1}})));
  Advance(10s);
  EXPECT_EQ(books.attempt(1).outcome, "running");
}

TEST_F(LeaseTest, DoesNotWaitForTheConnectionOfAWorkerWhoseLeaseIsOver) {
  options.reconnect = 60s;
  Start();
  Register("host/1");
  const std::string id = Submit();
  Do(dispatcher->OnWorkerGone("host/1#1", now()));
  Advance(15s);
  EXPECT_EQ(State(id), JobState::kQueued);
}

TEST_F(LeaseTest, GivesEachLeaseOneGracePeriodAfterARestart) {
  Register("host/1", 2);
  const std::string claimed = Submit();
  const std::string silent = Submit();
  Restart();
  Advance(14s);
  EXPECT_EQ(State(silent), JobState::kRunning);
  Worker("host/1#1", "register", RegisterBody("host/1", 2, Names({{TaskOf(claimed).id, 1}})));
  EXPECT_THAT(Sent("host/1#1", "registered").at(0).body["lost"], IsEmpty());
  EXPECT_EQ(dispatcher->Live(claimed).worker, "host/1");
  Advance(1s);
  EXPECT_EQ(books.attempt(1).outcome, "running");
  EXPECT_EQ(books.attempt(2).outcome, "lost");
  EXPECT_EQ(FenceOf(silent), 3);
  FinishJob(claimed);
  EXPECT_EQ(State(claimed), JobState::kPublishing);
}

TEST_F(LeaseTest, GivesOutHigherFencesAfterARestart) {
  Register("host/1");
  const std::string id = Submit();
  FinishJob(id);
  const std::string next = Submit();
  EXPECT_EQ(FenceOf(next), 2);
  Restart();
  Register("host/2");
  EXPECT_EQ(FenceOf(Submit()), 3);
}

}  // namespace
}  // namespace millrace::broker
