#pragma once

#include <gtest/gtest.h>

#include <chrono>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/base/files.h"
#include "core/media/media_store.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/scripted_peer.h"
#include "tests/fakes/temp_dir.h"
#include "tests/system/program.h"

namespace millrace::broker {

// The program millrace-broker in a process of its own, which a test may kill or let kill itself at
// a failpoint, on a data folder of the test's. The test plays the clients and workers.
class BrokerProcessTest : public testing::Test {
 protected:
  void Start(const std::string& failpoints = "") {
    broker_.emplace(harness::Command{
        .program = harness::ProgramPath("millrace-broker"),
        .arguments = {"--data-dir", dir_.path().string(), "--lease", lease_seconds_, "--beat",
                      "0.4", "--retry-base", "0.01", "--retry-cap", "0.05", "--task-overhead", "0"},
        .environment = {"MILLRACE_FAILPOINTS=" + failpoints},
        .folder = {},
        .out = dir_.path() / "broker.log",
        .err = dir_.path() / "broker.log"});
  }

  // Waits until it has killed itself.
  void AwaitCrash() {
    const std::optional<harness::ProcessEnd> end = broker_->WaitFor(kPatience);
    ASSERT_TRUE(end.has_value()) << "the failpoint was not met\n" << Log();
    EXPECT_EQ(end->signal, SIGKILL) << Log();
  }

  // As an operator does: SIGTERM, and the next one on the same data.
  void Restart() {
    EXPECT_EQ(broker_->Stop(kPatience).exit_status, 0) << Log();
    Start();
  }

  std::string Log() const { return harness::TailOf(dir_.path() / "broker.log", 30); }

  std::string Endpoint(const std::string& name) const {
    return "ipc://" + (dir_.path() / "run" / (name + ".sock")).string();
  }

  // The body of a submission with a real upload as its input.
  nlohmann::json NewSubmission() {
    Job job = samples::SmallJob();
    const auto writer = media_->BeginUpload("in.mov");
    writer->Write(std::string_view("some bytes"));
    job.request.input.upload = writer->Commit().id;
    const auto deadline = std::chrono::system_clock::now() + kPatience;
    return {{"job_id", job.id},
            {"request", ToJson(job.request)},
            {"input_facts", job.input_facts},
            {"deadline_unix_ms",
             std::chrono::duration_cast<std::chrono::milliseconds>(deadline.time_since_epoch())
                 .count()}};
  }

  // Makes the files of an attempt and returns the body of its `finished`.
  nlohmann::json MakeFiles(const ScriptedWorker& worker, const Message& assign,
                           const std::string& path = "web.mp4") {
    const std::string content = "encoded";
    const auto folder = media_->CreateWork(assign.body.at("task"), assign.body.at("fence"));
    WriteFileDurably(folder / "out" / path, content);
    WriteFileDurably(folder / "log.txt", "a line of the log\n");
    OutputFile file = samples::File();
    file.path = path;
    file.bytes = static_cast<int64_t>(content.size());
    nlohmann::json body = worker.About(assign);
    body["manifest"] = ToJson(Manifest{.files = {file}, .warnings = {}, .media = {{"d", 1}}});
    body["usage"] = {{"peak_rss_bytes", 1}, {"cpu_seconds", 0.1}};
    return body;
  }

  nlohmann::json GetJob(ScriptedPeer& client, const std::string& id) {
    return client.Ask("get_job", {{"job_id", id}}).body;
  }

  // Asks until the job has the state; returns the reply's body.
  nlohmann::json AwaitState(ScriptedPeer& client, const std::string& id, const std::string& state) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    nlohmann::json body;
    while (std::chrono::steady_clock::now() < deadline) {
      body = GetJob(client, id);
      if (body.contains("job") && body["job"]["state"] == state) return body;
    }
    ADD_FAILURE() << "the job is not " << state << ": " << body.dump() << "\n" << Log();
    return body;
  }

  std::string lease_seconds_ = "15";
  TempDir dir_;
  const std::unique_ptr<MediaStore> media_ =
      OpenFolderMediaStore({.data_dir = dir_.path(), .library_dir = {}});
  std::optional<harness::Program> broker_;
};

}  // namespace millrace::broker
