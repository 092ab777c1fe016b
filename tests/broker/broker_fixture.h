#pragma once

#include <gtest/gtest.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include <fstream>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "broker/broker.h"
#include "core/base/files.h"
#include "core/base/unique_fd.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/fake_disk_ledger.h"
#include "tests/fakes/scripted_peer.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {

// A real broker on a thread of its own, with real sockets, ledger and media store in a folder of
// the test's. Started in SetUp; stopped, and started again, as often as the test wants.
class BrokerTest : public testing::Test {
 protected:
  void SetUp() override { Start(); }
  void TearDown() override { Stop(); }

  void Start() {
    broker_ = std::make_unique<Broker>(
        options_,
        std::make_unique<FakeDiskLedger>(OpenSqliteLedger(dir_.path() / "ledger.db"), disk_),
        OpenFolderMediaStore({.data_dir = dir_.path(), .library_dir = {}}), clock_);
    stop_ = UniqueFd(eventfd(0, EFD_CLOEXEC));
    thread_ = std::thread([this] {
      // A door: what ends a broker is a failure of the test, and not the end of the test program.
      EXPECT_NO_THROW(broker_->Run(stop_.get()));
    });
  }

  // Asks the broker to stop and waits until it has.
  void Stop() {
    if (!thread_.joinable()) return;
    EXPECT_EQ(eventfd_write(stop_.get(), 1), 0);
    thread_.join();
    broker_.reset();
  }

  void Restart() {
    Stop();
    Start();
  }

  std::string Endpoint(const std::string& name) const {
    return "ipc://" + (dir_.path() / "run" / (name + ".sock")).string();
  }

  static int64_t DeadlineIn(std::chrono::seconds time) {
    return std::chrono::duration_cast<std::chrono::milliseconds>(
               (std::chrono::system_clock::now() + time).time_since_epoch())
        .count();
  }

  nlohmann::json SubmitBody(const Job& job) const {
    return {{"job_id", job.id},
            {"request", ToJson(job.request)},
            {"input_facts", job.input_facts},
            {"deadline_unix_ms", DeadlineIn(kPatience)}};
  }

  // Submits a new job with a real upload as its input; returns its id.
  std::string SubmitJob(ScriptedPeer& client) {
    Job job = samples::SmallJob();
    const auto writer = media_->BeginUpload("in.mov");
    writer->Write(std::string_view("some bytes"));
    job.request.input.upload = writer->Commit().id;
    const Message reply = client.Ask("submit", SubmitBody(job));
    EXPECT_EQ(reply.type, "ok") << reply.body.dump();
    return job.id;
  }

  nlohmann::json GetJob(ScriptedPeer& client, const std::string& id) {
    const Message reply = client.Ask("get_job", {{"job_id", id}});
    EXPECT_EQ(reply.type, "ok") << reply.body.dump();
    return reply.body;
  }

  std::string StateOf(ScriptedPeer& client, const std::string& id) {
    return GetJob(client, id).at("job").at("state");
  }

  // Asks until the job has the state. For what happens without an event to wait for.
  void AwaitState(ScriptedPeer& client, const std::string& id, const std::string& state) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    std::string now;
    while (std::chrono::steady_clock::now() < deadline) {
      now = StateOf(client, id);
      if (now == state) return;
    }
    FAIL() << "the job is " << now << ", not " << state;
  }

  // Makes the files of an attempt and returns the body of its `finished`.
  nlohmann::json MakeFiles(const ScriptedWorker& worker, const Message& assign) {
    const std::string content = "encoded";
    const auto folder = media_->CreateWork(assign.body.at("task"), assign.body.at("fence"));
    WriteFileDurably(folder / "out" / "web.mp4", content);
    OutputFile file = samples::File();
    file.bytes = static_cast<int64_t>(content.size());
    nlohmann::json body = worker.About(assign);
    body["manifest"] = ToJson(Manifest{.files = {file}, .warnings = {}, .media = {{"d", 1}}});
    body["usage"] = {{"peak_rss_bytes", 1}, {"cpu_seconds", 0.1}};
    return body;
  }

  TempDir dir_;
  BrokerOptions options_{.data_dir = dir_.path(),
                         .endpoints = {.client = Endpoint("client"),
                                       .worker = Endpoint("worker"),
                                       .event = Endpoint("event")},
                         .dispatcher = {.retry_base = std::chrono::milliseconds(1),
                                        .retry_cap = std::chrono::milliseconds(50)},
                         // It commits when it looks, and tests count commits.
                         .janitor = {.keep_events = {}},
                         .ledger_retry = std::chrono::milliseconds(20)};
  const std::shared_ptr<FakeDisk> disk_ = std::make_shared<FakeDisk>();
  const std::unique_ptr<MediaStore> media_ =
      OpenFolderMediaStore({.data_dir = dir_.path(), .library_dir = {}});

 private:
  const SystemClock clock_{};
  UniqueFd stop_;
  std::unique_ptr<Broker> broker_;
  std::thread thread_;
};

}  // namespace millrace::broker
