#include <gmock/gmock.h>
#include <poll.h>

#include <algorithm>
#include <csignal>
#include <utility>

#include "tests/system/service_test.h"

// A job's event stream through the real programs, while these restart.

namespace millrace::harness {
namespace {

using testing::ElementsAre;

struct StreamEvent {
  std::string id;  // empty: it has none
  std::string name;
  json data;
};

// Parses the bytes of a stream as EventSource does.
class EventParser {
 public:
  // Adds bytes; returns the events that they complete.
  std::vector<StreamEvent> Take(std::string_view bytes) {
    text_ += bytes;
    std::vector<StreamEvent> events;
    for (size_t end = 0; (end = text_.find("\n\n")) != std::string::npos;) {
      const std::string block = text_.substr(0, end + 1);
      text_.erase(0, end + 2);
      const StreamEvent event = Read(block);
      if (!event.data.is_null()) events.push_back(event);
    }
    return events;
  }

 private:
  static StreamEvent Read(const std::string& block) {
    StreamEvent event;
    for (size_t begin = 0; begin < block.size();) {
      const size_t end = block.find('\n', begin);
      const std::string line = block.substr(begin, end - begin);
      begin = end + 1;
      if (line.starts_with("id: ")) event.id = line.substr(4);
      if (line.starts_with("event: ")) event.name = line.substr(7);
      if (line.starts_with("data: ")) event.data = json::parse(line.substr(6));
    }
    return event;
  }

  std::string text_;
};

class EventsTest : public ServiceTest {
 protected:
  using OnEvent = std::function<bool(const StreamEvent& event)>;

  // Connects once, behind the last event received, and receives until the stream ends or `go_on`
  // returns false.
  HttpAnswer Connect(
      Client& client, const std::string& path,
      const OnEvent& go_on = [](const StreamEvent&) { return true; }) {
    EventParser parser;
    HttpCall call = {.path = path, .timeout = kJobLimit};
    if (!last_id_.empty()) call.headers = {"Last-Event-ID: " + last_id_};
    call.on_body = [&](std::string_view piece) {
      bool on = true;
      for (const StreamEvent& event : parser.Take(piece)) {
        // Drop an event that was cut off, as EventSource does.
        if (!on) break;
        Hear(event);
        on = go_on(event);
      }
      return on;
    };
    return client.http().Send(call);
  }

  // Reconnects until it is told not to, as EventSource does.
  void ConnectUntilToldNotTo(Client& client, const std::string& path) {
    const auto deadline = std::chrono::steady_clock::now() + kJobLimit;
    while (std::chrono::steady_clock::now() < deadline) {
      const HttpAnswer answer = Connect(client, path);
      if (answer.status == 204) return;
      if (answer.status == 200) continue;
      ASSERT_TRUE(answer.status == 0 || answer.status == 503) << answer.status << answer.body;
      poll(nullptr, 0, 20);  // a part of the service is down, and nothing announces its return
    }
    FAIL() << "the stream did not come to its end";
  }

  void Hear(const StreamEvent& event) {
    if (event.name == "job") {
      EXPECT_EQ(event.id, std::to_string(event.data.at("seq").get<int64_t>()));
      last_id_ = event.id;
      heard_.push_back(event.data);
    } else {
      EXPECT_EQ(event.name, "progress");
      EXPECT_EQ(event.id, "");
      EXPECT_EQ(event.data.at("generation"), 1);
      percents_.push_back(event.data.at("percent"));
    }
  }

  // Checks that the events received are those of the ledger, in order, each once.
  void ExpectAllHeardOnce(Client& client, const std::string& path) {
    const std::vector<json> heard = heard_;
    heard_.clear();
    last_id_.clear();
    EXPECT_EQ(Connect(client, path).status, 200);
    EXPECT_EQ(heard, heard_);
    int64_t last = 0;
    std::vector<std::string> names;
    for (const json& event : heard) {
      EXPECT_GT(event.at("seq").get<int64_t>(), last);
      last = event.at("seq");
      names.push_back(event.at("event"));
    }
    EXPECT_THAT(names, ElementsAre("submit", "start", "publish", "published"));
  }

  static bool IsUnderWay(const StreamEvent& event) {
    return event.name == "progress" && event.data.at("percent") > 0;
  }

  std::vector<json> heard_;
  std::vector<int> percents_;
  std::string last_id_;
};

TEST_F(EventsTest, TellEveryTransitionOfAJob) {
  Client& client = Begin({.workers = 1}).client();
  client.Start(SlowInput(), SlowOutputs("ultrafast"));
  const std::string id = client.Start(SlowInput(), SlowOutputs("medium"));
  const std::string path = client.Job(id).at("links").at("events");
  const HttpAnswer answer = Connect(client, path);
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.broken_off);
  EXPECT_EQ(answer.Header("content-type"), "text/event-stream");
  EXPECT_EQ(client.Job(id).at("state"), "succeeded");
  EXPECT_FALSE(percents_.empty());
  EXPECT_TRUE(std::ranges::is_sorted(percents_));
  EXPECT_EQ(Connect(client, path).status, 204);
  ExpectAllHeardOnce(client, path);
}

TEST_F(EventsTest, ContinueInTheSameStreamWhenTheBrokerRestarts) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), SlowOutputs("medium"));
  const std::string path = "/v1/jobs/" + id + "/events";
  bool killed = false;
  const HttpAnswer answer = Connect(client, path, [&](const StreamEvent& event) {
    if (IsUnderWay(event) && !std::exchange(killed, true)) {
      service.broker().Kill();
      service.StartBroker();
    }
    return true;
  });
  EXPECT_EQ(answer.status, 200);
  EXPECT_TRUE(killed);
  EXPECT_FALSE(answer.broken_off);
  ExpectAllHeardOnce(client, path);
}

TEST_F(EventsTest, ContinueBehindTheLastEventAfterAReconnectDuringAnOutage) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), SlowOutputs("medium"));
  const std::string path = "/v1/jobs/" + id + "/events";
  EXPECT_TRUE(Connect(client, path, [](const StreamEvent& event) {
                return !IsUnderWay(event);
              }).broken_off);
  service.broker().Kill();
  const HttpAnswer away = Connect(client, path);
  EXPECT_EQ(away.status, 503);
  EXPECT_NE(away.Header("retry-after"), "");
  service.StartBroker();
  ConnectUntilToldNotTo(client, path);
  ExpectAllHeardOnce(client, path);
}

TEST_F(EventsTest, EndWhenTheApiStopsAndContinueOnTheNext) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), SlowOutputs("medium"));
  const std::string path = "/v1/jobs/" + id + "/events";
  bool asked = false;
  const HttpAnswer answer = Connect(client, path, [&](const StreamEvent& event) {
    if (IsUnderWay(event) && !std::exchange(asked, true)) service.api().Signal(SIGTERM);
    return true;
  });
  EXPECT_TRUE(asked);
  EXPECT_EQ(answer.status, 200);
  EXPECT_FALSE(answer.broken_off);
  const auto end = service.api().WaitFor(20s);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 0);
  EXPECT_LT(heard_.size(), 4u) << "it has ended only with the job";
  service.StartApi();  // which comes with a client of its own
  ConnectUntilToldNotTo(service.client(), path);
  ExpectAllHeardOnce(service.client(), path);
}

}  // namespace
}  // namespace millrace::harness
