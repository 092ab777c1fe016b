#pragma once

#include <poll.h>

#include <atomic>
#include <chrono>
#include <mutex>
#include <stdexcept>

#include "core/model/message.h"
#include "tests/api/routes/api_fixture.h"

namespace millrace::api {

using nlohmann::json;
using std::chrono::milliseconds;

// A service with one job whose events the test makes happen, and clients that follow it.
class ApiEventsTest : public ApiTest {
 protected:
  ApiEventsTest() {
    // So long that what a test sees was announced; those about lost announcements say otherwise.
    options_.events.reread = std::chrono::minutes(10);
    Start();
    broker_.On(message::kEvents, [this](const json& body) { return AnswerEvents(body); });
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
    log_.push_back(message::ToJson(
        message::JobEvent{.seq = seq, .job = id_, .event = event, .state = state, .at = at}));
  }
  void Announce() {
    json newest;
    {
      const std::lock_guard lock(mutex_);
      newest = log_.back();
    }
    broker_.Publish(topic::kJob, newest);
  }
  // Until the service has read the job for it, which shows that it hears announcements. REQUIRES:
  // the job is followed.
  void AnnounceUntilHeard() {
    const auto deadline = std::chrono::steady_clock::now() + RawHttpClient::kPatience;
    const size_t before = broker_.Requests(message::kEvents).size();
    while (broker_.Requests(message::kEvents).size() == before) {
      if (std::chrono::steady_clock::now() > deadline) throw std::runtime_error("nobody hears");
      Announce();
      poll(nullptr, 0, 5);
    }
  }
  void HappenAndAnnounce(int64_t seq, const std::string& event, const std::string& state) {
    Happen(seq, event, state);
    Announce();
  }
  void PublishProgress(int percent) { ApiTest::PublishProgress(id_, percent); }
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

}  // namespace millrace::api
