#include <gmock/gmock.h>

#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

using testing::ElementsAre;

class SubmitTest : public DispatcherTest {};

TEST_F(SubmitTest, RepliesWithTheQueuedJobWhenNoWorkerIsThere) {
  const std::string id = Submit();
  const json job = Reply().body["job"];
  EXPECT_EQ(Reply().type, "ok");
  EXPECT_EQ(Reply().id, "m1");
  EXPECT_EQ(job["id"], id);
  EXPECT_EQ(job["state"], "queued");
  EXPECT_EQ(job["progress"]["queue_position"], 1);
  EXPECT_EQ(State(id), JobState::kQueued);
  EXPECT_THAT(books.EventsOf(id), ElementsAre(JobEvent::kSubmit));
}

TEST_F(SubmitTest, LeasesToAnIdleWorkerInTheSameCommit) {
  Register("host/1");
  const std::string id = Submit();
  EXPECT_EQ(State(id), JobState::kRunning);
  EXPECT_THAT(books.EventsOf(id), ElementsAre(JobEvent::kSubmit, JobEvent::kStart));
  EXPECT_EQ(Reply().body["job"]["state"], "running");
  EXPECT_EQ(Reply().body["job"]["worker"], "host/1");
  EXPECT_EQ(Reply().body["job"]["attempt"], 1);

  const auto assigns = Sent("host/1#1", "assign");
  ASSERT_EQ(assigns.size(), 1u);
  const json& body = assigns[0].body;
  EXPECT_EQ(body["job"], id);
  EXPECT_EQ(body["task"], TaskOf(id).id);
  EXPECT_EQ(body["fence"], 1);
  EXPECT_EQ(body["attempt"], 1);
  EXPECT_EQ(body["input_name"], "in.mov");
  EXPECT_EQ(body["spec"], ToJson(books.job(id).request.spec));
  EXPECT_EQ(books.attempt(1).outcome, "running");
  EXPECT_EQ(books.attempt(1).versions, json({{"millrace", "0.1"}}));
  EXPECT_EQ(books.job(id).started_at, clock.WallNow());
}

TEST_F(SubmitTest, AnswersARepeatedSubmissionWithTheSameJob) {
  const std::string id = Submit();
  const Message first = Reply();
  dispatcher->StartDraining();
  clock.Advance(1h);
  json body = SubmitBody({.id = id});
  body["deadline_unix_ms"] = 1;
  Client("submit", body);
  EXPECT_EQ(Reply().body["job"]["id"], first.body["job"]["id"]);
  EXPECT_EQ(Reply().type, "ok");
  EXPECT_EQ(books.jobs().size(), 1u);
  EXPECT_EQ(books.events().size(), 1u);
}

TEST_F(SubmitTest, RefusesASubmitAfterItsDeadline) {
  json body = SubmitBody({.id = NewJobId()});
  body["deadline_unix_ms"] = UnixMillis() - 1;
  Client("submit", body);
  EXPECT_EQ(ReplyCode(), "deadline_exceeded");
  EXPECT_TRUE(books.jobs().empty());
}

TEST_F(SubmitTest, RefusesMoreThanTheQueueHoldsAndAcceptsAgainWhenItDrains) {
  options.max_queued = 2;
  Start();
  Submit();
  Submit();
  Submit();
  EXPECT_EQ(ReplyCode(), "queue_full");
  EXPECT_EQ(books.jobs().size(), 2u);
  Register("host/1");
  Submit();
  EXPECT_EQ(ReplyCode(), "ok");
}

// What a full queue tells a client to wait is the time in which one job ends, as of late.
TEST_F(SubmitTest, SaysWhenAFullQueueWillHaveRoom) {
  options.max_queued = 1;
  Start();
  const auto refusal = [this] {
    Submit();
    EXPECT_EQ(ReplyCode(), "queue_full");
    return Reply().body.at("context").at("retry_after_seconds").get<int>();
  };
  Register("host/1");
  std::string running = Submit();
  std::string queued = Submit();
  EXPECT_EQ(refusal(), 60) << "nothing has ended yet, and no client need wait longer";
  for (int i = 0; i < 6; ++i) {
    Advance(10s);
    BeatAll("host/1");
    FinishJob(running);
    Published(running);
    running = std::exchange(queued, Submit());
  }
  EXPECT_EQ(refusal(), 10) << "six have ended in a minute";
  Advance(4min);
  EXPECT_EQ(refusal(), 50) << "six in five minutes";
  Advance(5min);
  EXPECT_EQ(refusal(), 60);
}

TEST_F(SubmitTest, AFastQueueHasRoomInASecond) {
  options.max_queued = 1;
  Start();
  Register("host/1");
  for (int i = 0; i < 40; ++i) {
    const std::string id = Submit();
    FinishJob(id);
    Published(id);
  }
  for (int i = 0; i < 3; ++i) Submit();
  EXPECT_EQ(ReplyCode(), "queue_full");
  EXPECT_EQ(Reply().body.at("context").at("retry_after_seconds"), 1);
}

TEST_F(SubmitTest, RefusesWhileDrainingAndGivesOutNothing) {
  const std::string id = Submit();
  dispatcher->StartDraining();
  Submit();
  EXPECT_EQ(ReplyCode(), "draining");
  Register("host/1");
  EXPECT_EQ(State(id), JobState::kQueued);
  EXPECT_EQ(dispatcher->QueueView(now())["draining"], true);
}

TEST_F(SubmitTest, RefusesAWrongMessageBeforeAnythingChanges) {
  Register("host/1");
  json body = SubmitBody({.id = NewJobId()});
  for (const char* key : {"job_id", "request", "input_facts", "deadline_unix_ms"}) {
    json wrong = body;
    wrong.erase(key);
    EXPECT_THROW(Client("submit", wrong), Error) << key;
  }
  body["job_id"] = "../../etc";
  EXPECT_THROW(Client("submit", body), Error);
  EXPECT_THROW(Worker("host/1#1", "dance", json::object()), Error);
  EXPECT_EQ(dispatcher->QueueView(now())["queued"], 0);
  EXPECT_EQ(dispatcher->QueueView(now())["busy_slots"], 0);
}

TEST_F(SubmitTest, GivesOutHighPrioritiesFirstAndThenInOrder) {
  const std::string low = Submit({.priority = 10});
  const std::string first = Submit();
  const std::string second = Submit();
  const std::string high = Submit({.priority = 90});
  EXPECT_EQ(dispatcher->Live(high).queue_position, 1);
  EXPECT_EQ(dispatcher->Live(first).queue_position, 2);
  EXPECT_EQ(dispatcher->Live(second).queue_position, 3);
  EXPECT_EQ(dispatcher->Live(low).queue_position, 4);
  Register("host/1");
  for (const std::string& next : {high, first, second, low}) {
    EXPECT_EQ(State(next), JobState::kRunning);
    EXPECT_EQ(dispatcher->Live(next).queue_position, std::nullopt);
    FinishJob(next);
  }
}

TEST_F(SubmitTest, GivesAWorkerAtMostAsMuchAsItHasSlots) {
  Register("host/1", 2);
  const std::string a = Submit();
  const std::string b = Submit();
  const std::string c = Submit();
  EXPECT_EQ(State(b), JobState::kRunning);
  EXPECT_EQ(State(c), JobState::kQueued);
  FinishJob(a);
  EXPECT_EQ(State(c), JobState::kRunning);
}

TEST_F(SubmitTest, SpreadsOverWorkersByTheShareOfTheirSlots) {
  Register("host/1", 2);
  Register("host/2", 4);
  std::map<std::string, int> given;
  for (int i = 0; i < 3; ++i) ++given[TaskOf(Submit()).last_worker];
  EXPECT_EQ(given["host/1"], 1);
  EXPECT_EQ(given["host/2"], 2);
}

TEST_F(SubmitTest, ATaskThatNoWorkerCanRunDoesNotBlockTheQueue) {
  Register("host/1");
  const std::string hevc = Submit({.priority = 99, .codec = VideoCodec::kHevc});
  const std::string h264 = Submit();
  EXPECT_EQ(State(hevc), JobState::kQueued);
  EXPECT_EQ(State(h264), JobState::kRunning);
  json able = RegisterBody("host/2", 1);
  able["encoders"].push_back("hevc");
  Worker("host/2#1", "register", able);
  EXPECT_EQ(State(hevc), JobState::kRunning);
  EXPECT_EQ(TaskOf(hevc).last_worker, "host/2");
}

TEST_F(SubmitTest, AnyWorkerMayCopyStreams) {
  json bare = RegisterBody("host/1", 1);
  bare["encoders"] = json::array();
  Worker("host/1#1", "register", bare);
  EXPECT_EQ(State(Submit({.codec = VideoCodec::kH264})), JobState::kQueued);
  EXPECT_EQ(State(Submit({.codec = VideoCodec::kCopy})), JobState::kRunning);
}

TEST_F(SubmitTest, ShowsTheQueueAsItIs) {
  json view = dispatcher->QueueView(now());
  EXPECT_EQ(view["workers"], 0);
  EXPECT_EQ(view["oldest_age_seconds"], 0.0);
  Submit({.priority = 1});
  clock.Advance(90s);
  Submit({.priority = 99});
  view = dispatcher->QueueView(now());
  EXPECT_EQ(view["queued"], 2);
  EXPECT_EQ(view["oldest_age_seconds"], 90.0);
  Register("host/1", 1);
  view = dispatcher->QueueView(now());
  EXPECT_EQ(view["queued"], 1);
  EXPECT_EQ(view["running"], 1);
  EXPECT_EQ(view["slots"], 1);
  EXPECT_EQ(view["busy_slots"], 1);
  EXPECT_EQ(view["workers"], 1);
}

TEST_F(SubmitTest, MeasuresHowFastJobsEnd) {
  Register("host/1");
  for (int minute = 0; minute < 10; ++minute) {
    for (int i = 0; i < 3; ++i) {
      const std::string id = Submit();
      FinishJob(id);
      Published(id);
    }
    for (int i = 0; i < 6; ++i) {
      Advance(10s);
      Beat("host/1#1");
    }
  }
  EXPECT_NEAR(dispatcher->QueueView(now())["drain_per_minute"].get<double>(), 3, 0.7);
  clock.Advance(6min);
  EXPECT_EQ(dispatcher->QueueView(now())["drain_per_minute"], 0.0);
}

TEST_F(SubmitTest, ShowsWhatEachWorkerDoes) {
  Register("host/1", 2);
  const std::string id = Submit();
  BeatAll("host/1", 40);
  clock.Advance(2s);
  const json view = dispatcher->WorkersView(now())["workers"];
  ASSERT_EQ(view.size(), 1u);
  EXPECT_EQ(view[0]["name"], "host/1");
  EXPECT_EQ(view[0]["state"], "busy");
  EXPECT_EQ(view[0]["slots"], 2);
  EXPECT_EQ(view[0]["busy_slots"], 1);
  EXPECT_EQ(view[0]["last_beat_seconds"], 2.0);
  EXPECT_EQ(view[0]["labels"], json({{"zone", "a"}}));
  EXPECT_EQ(view[0]["tasks"],
            json::array({{{"task", TaskOf(id).id}, {"job", id}, {"fence", 1}, {"percent", 40}}}));
}

}  // namespace
}  // namespace millrace::broker
