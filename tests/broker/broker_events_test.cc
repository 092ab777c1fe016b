#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/broker_fixture.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// What has happened to one job, as the ledger has it.
class BrokerEventsTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    client_.emplace(Endpoint("client"));
    worker_.emplace(Endpoint("worker"), "host/1");
    worker_->Register();
  }

  json Events(const std::string& job, int64_t after = 0, int limit = 500) {
    const Message reply =
        client_->Ask("events", {{"job_id", job}, {"after", after}, {"limit", limit}});
    EXPECT_EQ(reply.type, "ok") << reply.body.dump();
    return reply.body;
  }

  static std::vector<std::string> NamesOf(const json& reply) {
    std::vector<std::string> names;
    for (const json& event : reply.at("events")) names.push_back(event.at("event"));
    return names;
  }

  std::string FinishOne() {
    const std::string job = SubmitJob(*client_);
    EXPECT_EQ(worker_->Ask("finished", MakeFiles(*worker_, worker_->Expect("assign"))).type, "ack");
    AwaitState(*client_, job, "succeeded");
    return job;
  }

  std::optional<ScriptedPeer> client_;
  std::optional<ScriptedWorker> worker_;
};

TEST_F(BrokerEventsTest, ListsAllEventsOfAJobAndNoOthers) {
  FinishOne();
  const std::string job = FinishOne();
  const json reply = Events(job);
  EXPECT_THAT(NamesOf(reply), ElementsAre("submit", "start", "publish", "published"));
  EXPECT_EQ(reply.at("ended"), true);
  int64_t last = 0;
  for (const json& event : reply.at("events")) {
    EXPECT_EQ(event.at("job"), job);
    EXPECT_EQ(event.at("generation"), 1);
    EXPECT_NO_THROW(ParseTime(event.at("at").get<std::string>()));
    EXPECT_GT(event.at("seq").get<int64_t>(), last);
    last = event.at("seq");
  }
  EXPECT_EQ(reply.at("events").back().at("state"), "succeeded");
  Restart();
  EXPECT_EQ(Events(job), reply);
}

TEST_F(BrokerEventsTest, PagesThroughTheEvents) {
  const std::string job = FinishOne();
  std::vector<std::string> names;
  int64_t after = 0;
  bool ended = false;
  while (!ended && names.size() < 10) {
    const json piece = Events(job, after, 3);
    for (const std::string& name : NamesOf(piece)) names.push_back(name);
    ended = piece.at("ended");
    after = piece.at("events").back().at("seq");
  }
  EXPECT_THAT(names, ElementsAre("submit", "start", "publish", "published"));
  // A full piece that has the last one is known as the end, too.
  EXPECT_EQ(Events(job, 0, 4).at("ended"), true);
  const json behind = Events(job, after);
  EXPECT_THAT(behind.at("events"), IsEmpty());
  EXPECT_EQ(behind.at("ended"), true);
}

TEST_F(BrokerEventsTest, SaysThatARunningJobWillHaveMoreEvents) {
  const std::string job = SubmitJob(*client_);
  worker_->Expect("assign");
  const json reply = Events(job);
  EXPECT_THAT(NamesOf(reply), ElementsAre("submit", "start"));
  EXPECT_EQ(reply.at("ended"), false);
  EXPECT_EQ(Events(job, reply.at("events").back().at("seq")).at("ended"), false);
}

TEST_F(BrokerEventsTest, AnswersWithTheEventsThatItPublished) {
  EventListener published(Endpoint("event"), "job");
  // A subscription takes effect some time after it was made: only then is an event heard.
  do {
    client_->Ask("cancel", {{"job_id", SubmitJob(*client_)}});
    json released = worker_->About(worker_->Expect("assign"));
    released["reason"] = "cancelled";
    worker_->Ask("released", released);
  } while (!published.HearsWithin(std::chrono::milliseconds(20)));
  const std::string job = SubmitJob(*client_);
  const json event = published.ExpectWhere([&](const json& body) { return body.at("job") == job; });
  EXPECT_EQ(Events(job).at("events").at(0), event);
}

TEST_F(BrokerEventsTest, ContinuesTheEventsOfARedrivenJob) {
  const std::string job = SubmitJob(*client_);
  EXPECT_EQ(worker_->Fail(worker_->Expect("assign"), "not_media").type, "ack");
  AwaitState(*client_, job, "dead");
  const json dead = Events(job);
  EXPECT_THAT(NamesOf(dead), ElementsAre("submit", "start", "bury"));
  EXPECT_EQ(dead.at("ended"), true);

  client_->Ask("redrive", {{"job_id", job}, {"generation", 1}});
  worker_->Expect("assign");
  const json redriven = Events(job, dead.at("events").back().at("seq"));
  EXPECT_THAT(NamesOf(redriven), ElementsAre("redrive", "start"));
  EXPECT_EQ(redriven.at("ended"), false);
  EXPECT_EQ(redriven.at("events").at(0).at("generation"), 2);
}

TEST_F(BrokerEventsTest, RefusesWhatItCannotAnswer) {
  const auto code = [&](const json& body) {
    return client_->Ask("events", body).body.value("code", "");
  };
  const std::string job = SubmitJob(*client_);
  EXPECT_EQ(code({{"job_id", NewJobId()}, {"after", 0}, {"limit", 1}}), "job_not_found");
  EXPECT_EQ(code({{"job_id", job}, {"after", 0}, {"limit", 0}}), "invalid_request");
  EXPECT_EQ(code({{"job_id", job}, {"after", 0}, {"limit", 501}}), "invalid_request");
  EXPECT_EQ(code({{"job_id", job}, {"after", -1}, {"limit", 1}}), "protocol_error");
  EXPECT_EQ(code({{"job_id", job}, {"after", 0}}), "protocol_error");
  EXPECT_THAT(Events(job, 0, 500).at("events"), SizeIs(2));
}

}  // namespace
}  // namespace millrace::broker
