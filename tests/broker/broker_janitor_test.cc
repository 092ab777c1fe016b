#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/broker_fixture.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using std::chrono::milliseconds;
namespace fs = std::filesystem;

// A broker whose janitor is in a hurry: what nobody needs is gone in a moment.
class BrokerJanitorTest : public BrokerTest {
 protected:
  void SetUp() override {
    options_.janitor = {.every = milliseconds(1),
                        .lease = milliseconds(1),
                        .keep_finished = milliseconds(1),
                        .keep_dead = {},
                        .keep_uploads = milliseconds(1),
                        .keep_events = milliseconds(1)};
    BrokerTest::SetUp();
    client_.emplace(Endpoint("client"));
    worker_.emplace(Endpoint("worker"), "host/1");
    worker_->Register();
  }

  int64_t Rounds() { return client_->Ask("queue", json::object()).body.at("janitor").at("rounds"); }

  // Waits until each folder was looked at after this call.
  void AwaitInventory() {
    constexpr int64_t kRounds = 130;
    const int64_t before = Rounds();
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      if (Rounds() > before + kRounds) return;
    }
    FAIL() << "the janitor does nothing";
  }

  void AwaitGone(const fs::path& path) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (fs::exists(path) && std::chrono::steady_clock::now() < deadline) Rounds();
    EXPECT_FALSE(fs::exists(path)) << path;
  }

  std::optional<ScriptedPeer> client_;
  std::optional<ScriptedWorker> worker_;
};

TEST_F(BrokerJanitorTest, RemovesAWorkFolderWithoutALeaseAndNoOther) {
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  const json finished = MakeFiles(*worker_, assign);
  // It comes whole: the janitor may be at it before the next line.
  const fs::path orphan = media_->WorkFolder(NewTaskId(), 7);
  fs::create_directories(dir_.path() / "made" / "out");
  fs::rename(dir_.path() / "made", orphan);
  AwaitGone(orphan);
  AwaitInventory();
  EXPECT_TRUE(fs::exists(media_->WorkFolder(assign.body["task"], assign.body["fence"])));
  EXPECT_EQ(worker_->Ask("finished", finished).type, "ack");
}

TEST_F(BrokerJanitorTest, RemovesAJobAndItsFilesAfterItsRetention) {
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  const fs::path outputs = dir_.path() / "outputs" / job;
  EXPECT_EQ(worker_->Ask("finished", MakeFiles(*worker_, assign)).type, "ack");
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  json reply;
  while (std::chrono::steady_clock::now() < deadline) {
    reply = client_->Ask("get_job", {{"job_id", job}}).body;
    if (reply.value("code", "") == "job_not_found") break;
  }
  EXPECT_EQ(reply.value("code", ""), "job_not_found");
  AwaitGone(outputs);
  AwaitInventory();
  EXPECT_TRUE(fs::is_empty(dir_.path() / "uploads"));
}

TEST_F(BrokerJanitorTest, KeepsWhatIsInUse) {
  const std::string waiting = [this] {
    worker_->Ask("goodbye", {{"instance", worker_->instance()}});
    return SubmitJob(*client_);
  }();
  json input = GetJob(*client_, waiting)["job"]["input"];
  AwaitInventory();
  EXPECT_EQ(StateOf(*client_, waiting), "queued");
  EXPECT_TRUE(media_->FindUpload(input.at("upload")).has_value()) << input.dump();
}

TEST_F(BrokerJanitorTest, RefusesAJobWhoseUploadHasJustGone) {
  const auto writer = media_->BeginUpload("in.mov");
  writer->Write(std::string_view("some bytes"));
  Job job = samples::SmallJob();
  job.request.input.upload = writer->Commit().id;
  AwaitGone(dir_.path() / "uploads" / job.request.input.upload);
  EXPECT_EQ(client_->Ask("submit", SubmitBody(job)).body.at("code"), "upload_not_found");
}

}  // namespace
}  // namespace millrace::broker
