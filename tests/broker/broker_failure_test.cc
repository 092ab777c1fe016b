#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/broker_fixture.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// The disk below the ledger is full for a while.
class BrokerFailureTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    client_.emplace(Endpoint("client"));
    worker_.emplace(Endpoint("worker"), "host/1");
  }

  // Waits until submissions are accepted again.
  void AwaitAccepting() {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      if (client_->Ask("ping", json::object()).body.at("accepting") == true) return;
    }
    FAIL() << "nothing is accepted";
  }

  std::optional<ScriptedPeer> client_;
  std::optional<ScriptedWorker> worker_;
};

TEST_F(BrokerFailureTest, RefusesSubmissionsWhileTheLedgerFailsAndAcceptsThemLater) {
  const std::string before = SubmitJob(*client_);
  disk_->SetFull(true);
  const Job job = samples::SmallJob();
  const json refused = client_->Ask("submit", SubmitBody(job)).body;
  EXPECT_EQ(refused.at("code"), "storage_full");
  const json ping = client_->Ask("ping", json::object()).body;
  EXPECT_EQ(ping.at("accepting"), false);
  EXPECT_THAT(ping.at("reason").get<std::string>(), HasSubstr("full"));
  // Nothing is shown that is not durable; what is, is shown.
  EXPECT_EQ(client_->Ask("get_job", {{"job_id", job.id}}).body.at("code"), "job_not_found");
  EXPECT_EQ(StateOf(*client_, before), "queued");
  EXPECT_EQ(client_->Ask("cancel", {{"job_id", before}}).body.at("code"), "storage_full");

  disk_->SetFull(false);
  AwaitAccepting();
  EXPECT_EQ(client_->Ask("submit", SubmitBody(job)).type, "ok");
  EXPECT_EQ(client_->Ask("cancel", {{"job_id", before}}).body.at("job").at("state"), "cancelled");
}

TEST_F(BrokerFailureTest, KeepsLeasesWhileTheLedgerFailsAndTakesReportsLater) {
  worker_->Register();
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  const json lease = {{"task", assign.body.at("task")}, {"fence", assign.body.at("fence")}};
  const json finished = MakeFiles(*worker_, assign);

  disk_->SetFull(true);
  worker_->Send("finished", finished);
  // A beat that shared the report's failed commit would go unanswered, and be sent again.
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (disk_->refused() == 0 && std::chrono::steady_clock::now() < deadline) {
    StateOf(*client_, job);
  }
  EXPECT_EQ(worker_->Beat(json::array({ScriptedWorker::Running(assign, 99)})).type, "orders");
  EXPECT_FALSE(worker_->HasWithin(std::chrono::milliseconds(0), "ack"));
  EXPECT_EQ(StateOf(*client_, job), "running");
  EXPECT_GT(disk_->refused(), 0);

  disk_->SetFull(false);
  AwaitAccepting();
  EXPECT_EQ(worker_->Beat().type, "unknown_worker");
  EXPECT_EQ(worker_->Register(json::array({lease})).body.at("lost"), json::array());
  EXPECT_EQ(worker_->Ask("finished", finished).type, "ack");
  AwaitState(*client_, job, "succeeded");
}

TEST_F(BrokerFailureTest, PublishesOnceAlthoughTheLastCommitFailed) {
  worker_->Register();
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  const json finished = MakeFiles(*worker_, assign);
  // "publishing" is committed, "succeeded" is not: the disk fills up while the files are moved.
  disk_->FillUpAfter(1);
  EXPECT_EQ(worker_->Ask("finished", finished).type, "ack");
  EXPECT_EQ(StateOf(*client_, job), "publishing");
  disk_->SetFull(false);
  AwaitState(*client_, job, "succeeded");
  EXPECT_TRUE(media_->FindOutput(job, assign.body.at("fence"), "web.mp4").has_value());
}

TEST_F(BrokerFailureTest, AnswersTheProbesThatItHadToGiveUp) {
  worker_->Register();
  const std::string id = client_->Send("probe", {{"input", {{"upload", NewUploadId()}}},
                                                 {"input_name", "in.mov"},
                                                 {"deadline_unix_ms", DeadlineIn(kPatience)}});
  worker_->Expect("probe");
  disk_->SetFull(true);
  client_->Send("submit", SubmitBody(samples::SmallJob()));
  const Message reply =
      client_->ExpectWhere([&](const Message& message) { return message.id == id; }, "the probe");
  EXPECT_EQ(reply.body.at("code"), "storage_full");
}

}  // namespace
}  // namespace millrace::broker
