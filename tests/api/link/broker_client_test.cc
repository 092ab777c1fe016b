#include "api/link/broker_client.h"

#include <gtest/gtest.h>

#include <atomic>
#include <future>

#include "core/model/message.h"
#include "tests/fakes/scripted_broker.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::api {
namespace {

using std::chrono::milliseconds;

class BrokerClientTest : public testing::Test {
 protected:
  static constexpr std::chrono::seconds kPatience{20};

  std::future<BrokerReply> Ask(std::string_view type, nlohmann::json body = {{"n", 1}}) {
    auto promise = std::make_shared<std::promise<BrokerReply>>();
    client_->Call(type, std::move(body),
                  [promise](BrokerReply reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  }
  std::future<BrokerReply> AskPatiently(std::string_view type, milliseconds patience) {
    auto promise = std::make_shared<std::promise<BrokerReply>>();
    client_->CallPatiently(type, {{"n", 1}}, patience,
                           [promise](BrokerReply reply) { promise->set_value(std::move(reply)); });
    return promise->get_future();
  }
  static BrokerReply Await(std::future<BrokerReply> reply) {
    if (reply.wait_for(kPatience) != std::future_status::ready) {
      throw std::runtime_error("no reply");
    }
    return reply.get();
  }

  const SystemClock clock_{};
  const TempDir dir_;
  const std::string clients_ = "ipc://" + (dir_.path() / "c").string();
  const std::string events_ = "ipc://" + (dir_.path() / "e").string();
  ScriptedBroker broker_{clients_, events_};
  std::unique_ptr<BrokerClient> client_ =
      std::make_unique<BrokerClient>(BrokerClientOptions{.client_endpoint = clients_,
                                                         .event_endpoint = events_,
                                                         .deadline = milliseconds(300),
                                                         .repeat = milliseconds(50)},
                                     clock_);
};

TEST_F(BrokerClientTest, GivesEachCallerItsOwnReply) {
  broker_.On("echo", [](const nlohmann::json& body) -> ScriptedBroker::Reply { return body; });
  std::vector<std::future<BrokerReply>> replies;
  for (int i = 0; i < 2000; ++i) replies.push_back(Ask("echo", {{"n", i}}));
  for (int i = 0; i < 2000; ++i) {
    const BrokerReply reply = Await(std::move(replies[static_cast<size_t>(i)]));
    ASSERT_TRUE(std::holds_alternative<nlohmann::json>(reply));
    EXPECT_EQ(std::get<nlohmann::json>(reply)["n"], i);
  }
}

TEST_F(BrokerClientTest, CallsComeFromManyThreads) {
  broker_.On("echo", [](const nlohmann::json& body) -> ScriptedBroker::Reply { return body; });
  std::atomic<int> answered{0};
  std::vector<std::thread> callers;
  for (int t = 0; t < 8; ++t) {
    callers.emplace_back([&] {
      for (int i = 0; i < 100; ++i) {
        answered += std::holds_alternative<nlohmann::json>(Await(Ask("echo"))) ? 1 : 0;
      }
    });
  }
  for (std::thread& caller : callers) caller.join();
  EXPECT_EQ(answered, 800);
}

TEST_F(BrokerClientTest, RepeatsWhatIsNotAnsweredAndGivesUpInTime) {
  broker_.On("mute",
             [](const nlohmann::json&) -> ScriptedBroker::Reply { return std::monostate(); });
  const BrokerReply reply = Await(Ask("mute"));
  ASSERT_TRUE(std::holds_alternative<Error>(reply));
  EXPECT_EQ(std::get<Error>(reply).code(), ErrorCode::kBrokerUnavailable);
  const std::vector<Message> sent = broker_.Requests("mute");
  ASSERT_GE(sent.size(), 2u);
  for (const Message& message : sent) EXPECT_EQ(message.id, sent.front().id);
}

TEST_F(BrokerClientTest, RepeatsPatientlyWhatABrokerThatIsThereHasLost) {
  broker_.On(message::kPing, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json::object();
  });
  const auto asked = std::make_shared<std::atomic<int>>(0);
  // Repeated every 50 ms, it is answered after the 300 ms for which a broker may be silent.
  broker_.On("slow", [asked](const nlohmann::json& body) -> ScriptedBroker::Reply {
    if (++*asked < 12) return std::monostate();
    return body;
  });
  EXPECT_TRUE(std::holds_alternative<nlohmann::json>(Await(AskPatiently("slow", kPatience))));
  *asked = -1'000'000;
  const BrokerReply late = Await(AskPatiently("slow", milliseconds(100)));
  ASSERT_TRUE(std::holds_alternative<Error>(late));
  EXPECT_EQ(std::get<Error>(late).code(), ErrorCode::kBrokerUnavailable);
}

TEST_F(BrokerClientTest, NoticesAtOnceThatABrokerIsAwayHoweverPatientItsCallerIs) {
  broker_.Stop();
  const BrokerReply reply = Await(AskPatiently("slow", std::chrono::hours(1)));
  ASSERT_TRUE(std::holds_alternative<Error>(reply));
  EXPECT_EQ(std::get<Error>(reply).code(), ErrorCode::kBrokerUnavailable);
}

TEST_F(BrokerClientTest, PassesErrorsOn) {
  broker_.On("no", [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return Error(ErrorCode::kQueueFull, "full");
  });
  const BrokerReply reply = Await(Ask("no"));
  ASSERT_TRUE(std::holds_alternative<Error>(reply));
  EXPECT_EQ(std::get<Error>(reply).code(), ErrorCode::kQueueFull);
}

TEST_F(BrokerClientTest, SendsNothingOldToABrokerThatComesBack) {
  broker_.On("echo", [](const nlohmann::json& body) -> ScriptedBroker::Reply { return body; });
  ASSERT_TRUE(std::holds_alternative<nlohmann::json>(Await(Ask("echo"))));
  broker_.Stop();
  std::vector<std::future<BrokerReply>> old;
  for (int i = 0; i < 20; ++i) old.push_back(Ask("echo", {{"old", i}}));
  for (auto& reply : old) EXPECT_TRUE(std::holds_alternative<Error>(Await(std::move(reply))));
  broker_.Start();
  BrokerReply reply = Error(ErrorCode::kInternal, "not asked yet");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (std::holds_alternative<Error>(reply) && std::chrono::steady_clock::now() < deadline) {
    reply = Await(Ask("echo", {{"new", true}}));
  }
  ASSERT_TRUE(std::holds_alternative<nlohmann::json>(reply));
  for (const Message& message : broker_.Requests("echo")) {
    EXPECT_FALSE(message.body.contains("old"));
  }
}

TEST_F(BrokerClientTest, HandsEventsToAllItsListeners) {
  std::promise<message::JobEvent> heard;
  std::atomic<bool> first_heard = false;
  client_->Listen([&](const BrokerEvent&) {
    first_heard = true;
    throw std::runtime_error("bad listener");
  });
  client_->Listen(
      [&](const BrokerEvent& event) { heard.set_value(std::get<message::JobEvent>(event)); });
  broker_.Publish(topic::kJob,
                  message::ToJson(message::JobEvent{
                      .seq = 1, .job = "job_1", .event = "submit", .state = "queued"}));
  auto event = heard.get_future();
  ASSERT_EQ(event.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(event.get().job, "job_1");
  EXPECT_TRUE(first_heard);
}

TEST_F(BrokerClientTest, PassesOverEventsThatItCannotRead) {
  std::promise<BrokerEvent> heard;
  client_->Listen([&](const BrokerEvent& event) { heard.set_value(event); });
  broker_.Publish(topic::kJob, {{"seq", "one"}});
  broker_.Publish(topic::kProgress, message::ToJson(message::ProgressEvent{
                                        .job = "job_1", .percent = 5, .phase = "probing"}));
  auto event = heard.get_future();
  ASSERT_EQ(event.wait_for(kPatience), std::future_status::ready);
  EXPECT_EQ(std::get<message::ProgressEvent>(event.get()).percent, 5);
}

TEST_F(BrokerClientTest, ACallbackThatThrowsHarmsNobodyElse) {
  broker_.On("echo", [](const nlohmann::json& body) -> ScriptedBroker::Reply { return body; });
  client_->Call("echo", nlohmann::json::object(),
                [](const BrokerReply&) { throw std::runtime_error("bad callback"); });
  client_->Post([] { throw std::runtime_error("bad task"); });
  EXPECT_TRUE(std::holds_alternative<nlohmann::json>(Await(Ask("echo"))));
}

TEST_F(BrokerClientTest, AnswersWhatIsOutstandingWhenItEnds) {
  broker_.On("mute",
             [](const nlohmann::json&) -> ScriptedBroker::Reply { return std::monostate(); });
  std::future<BrokerReply> reply = Ask("mute");
  broker_.Request("mute");
  client_.reset();
  ASSERT_EQ(reply.wait_for(milliseconds(0)), std::future_status::ready);
  EXPECT_TRUE(std::holds_alternative<Error>(reply.get()));
}

}  // namespace
}  // namespace millrace::api
