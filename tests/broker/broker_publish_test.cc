#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/files.h"
#include "tests/broker/broker_fixture.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
namespace fs = std::filesystem;

class BrokerPublishTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    client_.emplace(Endpoint("client"));
    worker_.emplace(Endpoint("worker"), "host/1");
    worker_->Register();
  }

  // Puts a file where a folder of the media store should be, so that nothing can be written there.
  void Block(const std::string& folder) {
    fs::remove_all(dir_.path() / folder);
    std::ofstream(dir_.path() / folder).close();
  }
  void Unblock(const std::string& folder) {
    fs::remove(dir_.path() / folder);
    fs::create_directory(dir_.path() / folder);
  }

  std::optional<ScriptedPeer> client_;
  std::optional<ScriptedWorker> worker_;
};

TEST_F(BrokerPublishTest, MovesTheFilesToTheirPlace) {
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  const Fence fence = assign.body.at("fence");
  EXPECT_EQ(worker_->Ask("finished", MakeFiles(*worker_, assign)).type, "ack");
  AwaitState(*client_, job, "succeeded");
  const auto file = media_->FindOutput(job, fence, "web.mp4");
  ASSERT_TRUE(file.has_value());
  EXPECT_EQ(ReadWholeFile(*file), "encoded");
  EXPECT_FALSE(fs::exists(media_->WorkFolder(assign.body.at("task"), fence)));
}

TEST_F(BrokerPublishTest, FinishesAPublishThatARestartInterrupted) {
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  const json finished = MakeFiles(*worker_, assign);
  Block("outputs");
  EXPECT_EQ(worker_->Ask("finished", finished).type, "ack");
  EXPECT_EQ(StateOf(*client_, job), "publishing");
  Stop();
  Unblock("outputs");
  Start();
  AwaitState(*client_, job, "succeeded");
  EXPECT_TRUE(media_->FindOutput(job, assign.body.at("fence"), "web.mp4").has_value());
}

TEST_F(BrokerPublishTest, PublishesAsSoonAsStorageWorksAgain) {
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  const json finished = MakeFiles(*worker_, assign);
  Block("outputs");
  EXPECT_EQ(worker_->Ask("finished", finished).type, "ack");
  EXPECT_EQ(StateOf(*client_, job), "publishing");
  Unblock("outputs");
  AwaitState(*client_, job, "succeeded");
}

TEST_F(BrokerPublishTest, EncodesAgainIfOutputsVanishBeforePublishing) {
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  const json finished = MakeFiles(*worker_, assign);
  media_->DiscardWork(assign.body.at("task"), assign.body.at("fence"));
  EXPECT_EQ(worker_->Ask("finished", finished).type, "ack");
  const Message again = worker_->Expect("assign");
  EXPECT_EQ(again.body.at("job"), job);
  EXPECT_GT(again.body.at("fence").get<Fence>(), assign.body.at("fence").get<Fence>());
}

TEST_F(BrokerPublishTest, SaysDeadOnlyOnceTheDeadLetterIsComplete) {
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  Block("dead-letter");
  EXPECT_EQ(worker_->Fail(assign, "not_media").type, "ack");
  EXPECT_NE(StateOf(*client_, job), "dead");
  Unblock("dead-letter");
  AwaitState(*client_, job, "dead");

  const fs::path folder = media_->DeadLetterFolder(job);
  EXPECT_EQ(ReadWholeFile(folder / "input"), "some bytes");
  const json report = json::parse(ReadWholeFile(folder / "report.json"));
  EXPECT_NE(report.dump().find("not_media"), std::string::npos);
  const json view = GetJob(*client_, job).at("job");
  EXPECT_EQ(view.at("state"), "dead");
  EXPECT_EQ(view.at("error").at("code"), "not_media");
  EXPECT_EQ(view.at("attempt"), 1);
}

TEST_F(BrokerPublishTest, FinishesABurialThatARestartInterrupted) {
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  Block("dead-letter");
  EXPECT_EQ(worker_->Fail(assign, "not_media").type, "ack");
  Stop();
  Unblock("dead-letter");
  Start();
  AwaitState(*client_, job, "dead");
  EXPECT_TRUE(fs::exists(media_->DeadLetterFolder(job) / "report.json"));
}

}  // namespace
}  // namespace millrace::broker
