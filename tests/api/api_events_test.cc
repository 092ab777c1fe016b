#include <atomic>
#include <mutex>
#include <thread>

#include "core/message.h"
#include "tests/api/api_fixture.h"

namespace millrace {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
using testing::ElementsAre;

class ApiEventsTest : public ApiTest {
 protected:
  ApiEventsTest() {
    // So long that what a test sees was announced; those about lost announcements say otherwise.
    options_.events.reread = std::chrono::minutes(10);
    Start();
    broker_.On(client::kEvents, [this](const json& body) { return AnswerEvents(body); });
  }

  // The script uses members that go before the broker does.
  ~ApiEventsTest() override { broker_.Stop(); }

  void StartWithReread(milliseconds time) {
    options_.events.reread = time;
    Start();
  }

  // For tests whose broker says nothing for a while.
  void StartWithPatience() {
    options_.broker.deadline = RawHttpClient::kPatience;
    Start();
  }

  // ---- The ledger of the scripted broker.
  void Happen(int64_t seq, const std::string& event, const std::string& state,
              const std::string& at = "2026-11-23T20:28:37.042Z") {
    const std::lock_guard lock(mutex_);
    ended_ = state == "succeeded" || state == "dead";
    log_.push_back({{"seq", seq},
                    {"job", id_},
                    {"generation", 1},
                    {"event", event},
                    {"state", state},
                    {"at", at}});
  }
  void Announce() {
    json newest;
    {
      const std::lock_guard lock(mutex_);
      newest = log_.back();
    }
    broker_.Publish(event::kJob, newest);
  }
  void HappenAndAnnounce(int64_t seq, const std::string& event, const std::string& state) {
    Happen(seq, event, state);
    Announce();
  }
  void PublishProgress(int percent) {
    broker_.Publish(
        event::kProgress,
        {{"job", id_}, {"generation", 1}, {"percent", percent}, {"phase", "transcoding"}});
  }
  ScriptedBroker::Reply AnswerEvents(const json& body) {
    if (mute_) return std::monostate();
    const std::lock_guard lock(mutex_);
    if (removed_) return Error(ErrorCode::kJobNotFound, "there is no such job");
    json events = json::array();
    for (const json& event : log_) {
      if (event["seq"] > body.at("after")) events.push_back(event);
      if (events.size() == body.at("limit")) break;
    }
    const bool all = events.empty() || events.back() == log_.back();
    return json{{"events", events}, {"ended", ended_ && all}};
  }

  // ---- The client.
  std::string Frame(int64_t seq, const std::string& event, const std::string& state) const {
    return fmt::format(
        "id: {}\nevent: job\ndata: "
        R"({{"at":"2026-11-23T20:28:37.042Z","event":"{}","generation":1,"job":"{}","seq":{},"state":"{}"}})"
        "\n\n",
        seq, event, id_, seq, state);
  }
  std::string AskText(std::string_view headers = "") const {
    return fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n{}\r\n", path_, headers);
  }
  // A client whose stream has begun.
  RawHttpClient Follow(std::string_view headers = "") {
    RawHttpClient client = Connect();
    client.Send(AskText(headers));
    EXPECT_EQ(client.ReadHead().status, 200);
    return client;
  }
  // Reads until that much has come.
  static std::string Read(RawHttpClient& client, const std::string& expected) {
    std::string body;
    while (body.size() < expected.size() && client.ReadChunk(body)) {
    }
    return body;
  }
  // The rest of a stream that must end properly.
  static std::string ReadToTheEnd(RawHttpClient& client) {
    std::string body;
    bool was_last = false;
    while (client.ReadChunk(body, &was_last)) {
    }
    EXPECT_TRUE(was_last) << "the stream broke off";
    return body;
  }
  static std::vector<int64_t> Ids(const std::string& body) {
    std::vector<int64_t> ids;
    for (size_t at = 0; (at = body.find("id: ", at)) != std::string::npos; ++at) {
      if (at == 0 || body[at - 1] == '\n') ids.push_back(std::stoll(body.substr(at + 4, 20)));
    }
    return ids;
  }

  const std::string id_ = NewJobId();
  const std::string path_ = "/v1/jobs/" + id_ + "/events";
  std::atomic<bool> mute_{false};

  std::mutex mutex_;  // guards what follows
  std::vector<json> log_;
  bool ended_ = false;
  bool removed_ = false;
};

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
  EXPECT_EQ(broker_.Request(client::kEvents)["job_id"], id_);
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
  EXPECT_EQ(broker_.Request(client::kEvents)["after"], 3);
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

TEST_F(ApiEventsTest, LosesNothingWhereAnnouncementsAreLost) {
  StartWithReread(milliseconds(20));
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow();
  Read(client, Frame(3, "submit", "queued"));
  Happen(4, "start", "running");
  EXPECT_EQ(Read(client, Frame(4, "start", "running")), Frame(4, "start", "running"));
  Happen(5, "publish", "publishing");
  Happen(6, "published", "succeeded");
  EXPECT_EQ(ReadToTheEnd(client),
            Frame(5, "publish", "publishing") + Frame(6, "published", "succeeded"));
}

TEST_F(ApiEventsTest, RepeatsNothingWhereAnnouncementsAreRepeated) {
  StartWithReread(milliseconds(1));
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow();
  for (int i = 0; i < 50; ++i) Announce();
  HappenAndAnnounce(4, "start", "running");
  for (int i = 0; i < 50; ++i) Announce();
  HappenAndAnnounce(5, "bury", "dead");
  EXPECT_THAT(Ids(ReadToTheEnd(client)), ElementsAre(3, 4, 5));
}

TEST_F(ApiEventsTest, TellsOnceWhatHappensBeforeTheFirstReadIsAnswered) {
  StartWithPatience();
  Happen(3, "submit", "queued");
  mute_ = true;
  RawHttpClient client = Connect();
  client.Send(AskText());
  broker_.Request(client::kEvents);
  HappenAndAnnounce(4, "start", "running");
  PublishProgress(10);
  HappenAndAnnounce(5, "bury", "dead");
  mute_ = false;
  EXPECT_EQ(client.ReadHead().status, 200);
  EXPECT_EQ(ReadToTheEnd(client),
            Frame(3, "submit", "queued") + Frame(4, "start", "running") + Frame(5, "bury", "dead"));
}

TEST_F(ApiEventsTest, GoesOnBehindARestartOfTheBroker) {
  StartWithReread(milliseconds(20));
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow();
  Read(client, Frame(3, "submit", "queued"));
  broker_.Stop();
  Happen(4, "start", "running");
  broker_.Start();
  EXPECT_EQ(Read(client, Frame(4, "start", "running")), Frame(4, "start", "running"));
  HappenAndAnnounce(5, "bury", "dead");
  EXPECT_EQ(ReadToTheEnd(client), Frame(5, "bury", "dead"));
}

TEST_F(ApiEventsTest, OutlivesABrokerThatIsAwayForLongerThanARequestWaits) {
  StartWithReread(milliseconds(20));
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow();
  Read(client, Frame(3, "submit", "queued"));
  broker_.Stop();
  // By then the stream has asked in vain, too.
  ExpectProblem(Get(path_), 503, "broker_unavailable");
  ExpectProblem(Get(path_), 503, "broker_unavailable");
  Happen(4, "bury", "dead");
  broker_.Start();
  EXPECT_EQ(ReadToTheEnd(client), Frame(4, "bury", "dead"));
}

TEST_F(ApiEventsTest, TellsClientsOfOneJobEachWhatItLacks) {
  server_options_.threads = 1;
  StartWithPatience();
  Happen(3, "submit", "queued");
  Happen(4, "start", "running");
  RawHttpClient ahead = Follow("Last-Event-ID: 4\r\n");
  // One comes in the middle of a read that begins in front of it.
  mute_ = true;
  const size_t reads = broker_.Requests(client::kEvents).size();
  HappenAndAnnounce(5, "publish", "publishing");
  broker_.Request(client::kEvents, reads + 1);
  RawHttpClient behind = Connect();
  behind.Send(AskText());
  // The one thread of the server takes up what comes later only afterwards.
  EXPECT_EQ(Get("/livez").status, 200);
  mute_ = false;
  EXPECT_EQ(behind.ReadHead().status, 200);
  const std::string all = Frame(3, "submit", "queued") + Frame(4, "start", "running") +
                          Frame(5, "publish", "publishing");
  EXPECT_EQ(Read(behind, all), all);
  EXPECT_EQ(Read(ahead, Frame(5, "publish", "publishing")), Frame(5, "publish", "publishing"));
  HappenAndAnnounce(6, "published", "succeeded");
  EXPECT_EQ(ReadToTheEnd(ahead), Frame(6, "published", "succeeded"));
  EXPECT_EQ(ReadToTheEnd(behind), Frame(6, "published", "succeeded"));
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
  const size_t reads = broker_.Requests(client::kEvents).size();
  HappenAndAnnounce(4, "start", "running");
  broker_.Request(client::kEvents, reads + 1);
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

TEST_F(ApiEventsTest, CatchesUpFromTheLedgerForASlowReader) {
  constexpr int kEvents = 3000;  // of seven kilobytes each: more than any socket holds
  server_options_.limits.stream_queue_bytes = 64 << 10;
  StartWithReread(milliseconds(5));
  const std::string padding(7000, 'x');
  for (int seq = 1; seq < kEvents; ++seq) Happen(seq, "requeue", "queued", padding);
  Happen(kEvents, "bury", "dead", padding);
  RawHttpClient client(server_->port(), 4 << 10);
  client.Send(AskText());
  // It is full once the same place is asked for again.
  const auto place = [&]() -> int64_t {
    const std::vector<Message> reads = broker_.Requests(client::kEvents);
    if (reads.size() < 2) return -1;
    const int64_t last = reads.back().body.at("after");
    return last == reads[reads.size() - 2].body.at("after") ? last : -1;
  };
  const auto deadline = std::chrono::steady_clock::now() + RawHttpClient::kPatience;
  while (place() < 0 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  ASSERT_GE(place(), 0) << "the server never stopped reading for a client that does not";
  EXPECT_LT(place(), kEvents);

  const RawReply reply = client.ReadReply();
  EXPECT_TRUE(reply.complete);
  const std::vector<int64_t> ids = Ids(reply.body);
  ASSERT_EQ(ids.size(), static_cast<size_t>(kEvents));
  for (int seq = 1; seq <= kEvents; ++seq) ASSERT_EQ(ids[static_cast<size_t>(seq - 1)], seq);
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
}  // namespace millrace
