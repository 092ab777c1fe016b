#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <functional>

#include "core/base/clock.h"
#include "core/base/files.h"
#include "tests/fakes/temp_dir.h"
#include "tests/transcoder/worker/samples.h"
#include "transcoder/worker/child/child_host.h"
#include "transcoder/worker/lease.h"

namespace millrace::worker {
using namespace std::chrono_literals;
namespace fs = std::filesystem;

inline const Lease kLease{"tsk_a", 7};

// Records the events of runs.
class Recorder final : public TaskEvents {
 public:
  void OnStarted(const Lease& lease) override { started.push_back(lease); }
  void OnMedia(const Lease&, nlohmann::json told) override { media = std::move(told); }
  void OnProgress(const Lease&, Progress told) override { progress = std::move(told); }
  void OnFinished(const Lease& lease, Manifest told, const ResourceUsage& used) override {
    finished.push_back(lease);
    manifest = std::move(told);
    usage = used;
  }
  void OnFailed(const Lease& lease, AttemptFailure failure) override {
    failures.emplace_back(lease, std::move(failure));
  }
  void OnStopped(const Lease& lease) override { stopped.push_back(lease); }
  void OnProbed(const std::string& probe, nlohmann::json told) override {
    probed.push_back(probe);
    media = std::move(told);
  }
  void OnProbeFailed(const std::string&, const Error& error) override {
    probe_errors.push_back(error.code());
  }

  std::vector<Lease> started, finished, stopped;
  std::vector<std::pair<Lease, AttemptFailure>> failures;
  std::vector<std::string> probed;
  std::vector<ErrorCode> probe_errors;
  nlohmann::json media;
  Progress progress;
  Manifest manifest;
  ResourceUsage usage;
};

class ChildHostTest : public testing::Test {
 protected:
  ChildHostTest() : store_(OpenFolderMediaStore({folder_.path(), {}})) {
    auto upload = store_->BeginUpload("film.mov");
    upload->Write(std::string_view("bytes"));
    upload_ = upload->Commit().id;
    MakeHost(60s);
  }

  void MakeHost(std::chrono::milliseconds stall_timeout) {
    host_.reset();
    host_ = std::make_unique<ChildHost>(
        ChildHostOptions{
            .encoder = MILLRACE_FAKE_ENCODER, .threads = 3, .stall_timeout = stall_timeout},
        *store_, clock_);
  }

  // `what` is a directive of the fake encoder.
  void Start(const Lease& lease, const std::string& what) {
    host_->Start({.lease = lease,
                  .job = "job_a",
                  .attempt = 2,
                  .input = {.upload = upload_, .path = {}},
                  .input_name = what,
                  .spec = SampleSpec()});
  }
  void StartProbe(const std::string& what, std::chrono::milliseconds deadline) {
    host_->StartProbe({.probe = "prb_1",
                       .input = {.upload = upload_, .path = {}},
                       .input_name = what,
                       .deadline = deadline});
  }

  // Runs the host's loop until something has happened; fails the test if it does not in time.
  void Until(const std::function<bool()>& happened) {
    const MonotonicTime end = clock_.Now() + 20s;
    for (;;) {
      host_->Work(events_);
      if (happened()) return;
      ASSERT_LT(clock_.Now(), end) << "it did not happen in time";
      const auto next = std::min(host_->NextDeadline(), clock_.Now() + 1s);
      std::vector<pollfd> polled;
      host_->AppendTo(polled);
      const auto wait = std::chrono::ceil<std::chrono::milliseconds>(next - clock_.Now()).count();
      poll(polled.data(), polled.size(), static_cast<int>(std::max<int64_t>(0, wait)));
    }
  }
  const AttemptFailure& FailureOf(const std::string& what) {
    Start(kLease, what);
    Until([&] { return !events_.failures.empty(); });
    return events_.failures.back().second;
  }

  // The work folders that exist now.
  std::vector<std::string> WorkFolders() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path() / "work")) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  const TempDir folder_;
  const SystemClock clock_;
  std::unique_ptr<MediaStore> store_;
  std::string upload_;
  std::unique_ptr<ChildHost> host_;
  Recorder events_;
};

}  // namespace millrace::worker
