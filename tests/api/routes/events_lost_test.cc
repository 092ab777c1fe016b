#include <set>
#include <thread>

#include "tests/api/routes/api_events_fixture.h"

// The events of a job as a stream: lost announcements, brokers that go, clients that are slow.

namespace millrace::api {
namespace {

using testing::ElementsAre;

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
  const size_t reads = broker_.Requests(message::kEvents).size();
  HappenAndAnnounce(5, "publish", "publishing");
  broker_.Request(message::kEvents, reads + 1);
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
    const std::vector<Message> reads = broker_.Requests(message::kEvents);
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

TEST_F(ApiEventsTest, MakesUpForALostAnnouncementOnceALaterOneShowsIt) {
  HappenAndAnnounce(3, "submit", "queued");
  RawHttpClient client = Follow();
  Read(client, Frame(3, "submit", "queued"));
  AnnounceUntilHeard();
  Happen(4, "start", "running");
  PublishEvent(NewJobId(), 5, "queued");
  EXPECT_EQ(Read(client, Frame(4, "start", "running")), Frame(4, "start", "running"));
}

TEST_F(ApiEventsTest, MakesUpForWhatWasAnnouncedBeforeItWasConnectedAgain) {
  Happen(3, "submit", "queued");
  RawHttpClient client = Follow();
  Read(client, Frame(3, "submit", "queued"));
  broker_.Stop();
  Happen(4, "bury", "dead");
  broker_.Start();
  EXPECT_EQ(ReadToTheEnd(client), Frame(4, "bury", "dead"));
}

TEST_F(ApiEventsTest, AsksABrokerForFewJobsAtOnceHoweverManyAreFollowed) {
  options_.broker.deadline = RawHttpClient::kPatience;
  options_.events.slice = 3;
  StartWithReread(milliseconds(20));
  Happen(3, "submit", "queued");
  std::vector<RawHttpClient> clients;
  for (int i = 0; i < 12; ++i) {
    clients.push_back(Connect());
    clients.back().Send(
        fmt::format("GET /v1/jobs/{}/events HTTP/1.1\r\nHost: x\r\n\r\n", NewJobId()));
    EXPECT_EQ(clients.back().ReadHead().status, 200);
  }
  // The api repeats the requests that are not answered, and makes no others.
  mute_ = true;
  const size_t before = broker_.Requests(message::kEvents).size();
  broker_.Request(message::kEvents, before + 20);
  std::set<json> asked;
  const std::vector<Message> requests = broker_.Requests(message::kEvents);
  for (size_t i = before; i < requests.size(); ++i) asked.insert(requests[i].body["job_id"]);
  EXPECT_LE(asked.size(), 3u);
}

}  // namespace
}  // namespace millrace::api
