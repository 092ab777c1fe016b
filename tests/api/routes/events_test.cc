#include "tests/api/routes/api_events_fixture.h"

// The events of a job as a stream: what a client sees of it.

namespace millrace::api {
namespace {

using testing::ElementsAre;

TEST_F(ApiEventsTest, TellsAllThatHasHappenedAndEnds) {
  Happen(3, "submit", "queued");
  Happen(4, "start", "running");
  Happen(9, "published", "succeeded");
  const RawReply reply = Get(path_);
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("Content-Type"), "text/event-stream");
  EXPECT_EQ(reply.Header("Cache-Control"), "no-store");
  EXPECT_EQ(reply.Header("X-Accel-Buffering"), "no");
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(reply.body, Frame(3, "submit", "queued") + Frame(4, "start", "running") +
                            Frame(9, "published", "succeeded"));
  EXPECT_EQ(broker_.Request(message::kEvents)["job_id"], id_);
}

TEST_F(ApiEventsTest, FollowsAJobToItsEnd) {
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow();
  EXPECT_EQ(Read(client, Frame(3, "submit", "queued")), Frame(3, "submit", "queued"));
  HappenAndAnnounce(7, "start", "running");
  EXPECT_EQ(Read(client, Frame(7, "start", "running")), Frame(7, "start", "running"));
  HappenAndAnnounce(8, "publish", "publishing");
  EXPECT_EQ(Read(client, Frame(8, "publish", "publishing")), Frame(8, "publish", "publishing"));
  HappenAndAnnounce(12, "published", "succeeded");
  EXPECT_EQ(ReadToTheEnd(client), Frame(12, "published", "succeeded"));
  // The connection is good for more.
  client.Send(AskText("Last-Event-ID: 8\r\n"));
  EXPECT_EQ(client.ReadReply().body, Frame(12, "published", "succeeded"));
}

TEST_F(ApiEventsTest, GoesOnBehindTheEventThatTheClientHas) {
  Happen(3, "submit", "queued");
  Happen(4, "start", "running");
  Happen(9, "bury", "dead");
  EXPECT_EQ(Get(path_, "Last-Event-ID: 3\r\n").body,
            Frame(4, "start", "running") + Frame(9, "bury", "dead"));
  EXPECT_EQ(broker_.Request(message::kEvents)["after"], 3);
}

TEST_F(ApiEventsTest, TellsAClientThatHasTheEndNotToConnectAgain) {
  Happen(3, "submit", "queued");
  Happen(9, "bury", "dead");
  const RawReply reply = Get(path_, "Last-Event-ID: 9\r\n");
  EXPECT_EQ(reply.status, 204);
  EXPECT_EQ(reply.Header("Cache-Control"), "no-store");
  EXPECT_EQ(Ask("HEAD " + path_ + " HTTP/1.1\r\nHost: x\r\nLast-Event-ID: 9\r\n\r\n").status, 204);
}

TEST_F(ApiEventsTest, AnswersHeadAtOnceAndWithoutABody) {
  Happen(3, "submit", "queued");
  RawHttpClient client = Connect();
  const RawReply reply = client.Exchange("HEAD " + path_ + " HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.Header("Content-Type"), "text/event-stream");
  EXPECT_EQ(client.Exchange("GET /livez HTTP/1.1\r\nHost: x\r\n\r\n").status, 200);
}

TEST_F(ApiEventsTest, EndsTheStreamOfAnOldClientByClosing) {
  Happen(3, "submit", "queued");
  RawHttpClient client = Connect();
  client.Send("GET " + path_ + " HTTP/1.0\r\n\r\n");
  EXPECT_EQ(client.ReadHead().Header("Transfer-Encoding"), "");
  HappenAndAnnounce(4, "bury", "dead");
  EXPECT_EQ(client.ReadToEnd(), Frame(3, "submit", "queued") + Frame(4, "bury", "dead"));
  EXPECT_FALSE(client.WasReset());
}

TEST_F(ApiEventsTest, TellsOnceWhatHappensBeforeTheFirstReadIsAnswered) {
  StartWithPatience();
  Happen(3, "submit", "queued");
  mute_ = true;
  RawHttpClient client = Connect();
  client.Send(AskText());
  broker_.Request(message::kEvents);
  HappenAndAnnounce(4, "start", "running");
  PublishProgress(10);
  HappenAndAnnounce(5, "bury", "dead");
  mute_ = false;
  EXPECT_EQ(client.ReadHead().status, 200);
  EXPECT_EQ(ReadToTheEnd(client),
            Frame(3, "submit", "queued") + Frame(4, "start", "running") + Frame(5, "bury", "dead"));
}

TEST_F(ApiEventsTest, PassesProgressOnWithoutAnId) {
  Happen(3, "submit", "queued");
  Happen(4, "start", "running");
  RawHttpClient client = Follow("Last-Event-ID: 4\r\n");
  PublishProgress(42);
  const std::string progress =
      "event: progress\n"
      "data: {\"generation\":1,\"percent\":42,\"phase\":\"transcoding\"}\n\n";
  EXPECT_EQ(Read(client, progress), progress);
  HappenAndAnnounce(5, "bury", "dead");
  EXPECT_EQ(ReadToTheEnd(client), Frame(5, "bury", "dead"));
}

TEST_F(ApiEventsTest, NeverTellsProgressInFrontOfTheTransitionBeforeIt) {
  StartWithPatience();
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow("Last-Event-ID: 3\r\n");
  mute_ = true;
  const size_t reads = broker_.Requests(message::kEvents).size();
  HappenAndAnnounce(4, "start", "running");
  broker_.Request(message::kEvents, reads + 1);
  PublishProgress(1);
  PublishProgress(2);
  mute_ = false;
  const std::string start = Frame(4, "start", "running");
  EXPECT_EQ(Read(client, start + "e").substr(0, start.size()), start);
}

TEST_F(ApiEventsTest, SaysFromTimeToTimeThatItIsThere) {
  options_.events.heartbeat = milliseconds(20);
  StartWithReread(milliseconds(10));
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow("Last-Event-ID: 3\r\n");
  EXPECT_EQ(Read(client, ":\n\n:\n\n"), ":\n\n:\n\n");
}

TEST_F(ApiEventsTest, RefusesOneStreamTooManyAndForgetsThoseWhoseClientHasGone) {
  options_.events.max_streams = 1;
  StartWithReread(milliseconds(10));
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow();
  const RawReply refused = Get(path_);
  ExpectProblem(refused, 503, "too_many_streams");
  EXPECT_NE(refused.Header("Retry-After"), "");
  client.Reset();
  const auto deadline = std::chrono::steady_clock::now() + RawHttpClient::kPatience;
  int status = 0;
  while (status != 200 && std::chrono::steady_clock::now() < deadline) {
    RawHttpClient next = Connect();
    next.Send(AskText());
    status = next.ReadHead().status;
  }
  EXPECT_EQ(status, 200);
}

TEST_F(ApiEventsTest, AnEndedStreamMakesRoomForAnother) {
  options_.events.max_streams = 1;
  Start();
  Happen(3, "submit", "queued");
  Happen(4, "bury", "dead");
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Get(path_).status, 200);
  for (int i = 0; i < 3; ++i) EXPECT_EQ(Get(path_, "Last-Event-ID: 4\r\n").status, 204);
}

TEST_F(ApiEventsTest, DrainingEndsTheStreamsProperly) {
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow();
  Read(client, Frame(3, "submit", "queued"));
  api_->Drain();
  EXPECT_EQ(ReadToTheEnd(client), "");
  // One that comes later is told what there is.
  const RawReply reply = Get(path_);
  EXPECT_EQ(reply.status, 200);
  EXPECT_TRUE(reply.complete);
  EXPECT_EQ(reply.body, Frame(3, "submit", "queued"));
}

TEST_F(ApiEventsTest, EndsWhenTheJobIsRemoved) {
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow("Last-Event-ID: 3\r\n");
  {
    const std::lock_guard lock(mutex_);
    removed_ = true;
  }
  Announce();
  EXPECT_EQ(ReadToTheEnd(client), "");
  ExpectProblem(Get(path_, "Last-Event-ID: 3\r\n"), 404, "job_not_found");
}

TEST_F(ApiEventsTest, RefusesWhatIsNoIdOfAnEvent) {
  for (const char* value : {"x", "-1", "1e3", "7 8", "9007199254740993", "99999999999999999999"}) {
    ExpectProblem(Get(path_, fmt::format("Last-Event-ID: {}\r\n", value)), 400, "invalid_request");
  }
  // As sent by clients that have seen none.
  Happen(3, "bury", "dead");
  EXPECT_EQ(Get(path_, "Last-Event-ID: \r\n").body, Frame(3, "bury", "dead"));
}

TEST_F(ApiEventsTest, RefusesParametersAndWhatIsNoJob) {
  const RawReply reply = Get(path_ + "?after=5");
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Pointers(reply), ElementsAre("/after"));
  ExpectProblem(Get("/v1/jobs/nonsense/events"), 404, "job_not_found");
  broker_.Stop();
  ExpectProblem(Get(path_), 503, "broker_unavailable");
}

}  // namespace
}  // namespace millrace::api
