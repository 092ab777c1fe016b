#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "core/base/files.h"
#include "core/base/unique_fd.h"
#include "core/media/media_store.h"
#include "media-fixtures/facts.h"
#include "media-fixtures/process.h"
#include "tests/fakes/temp_dir.h"
#include "tests/transcoder/worker/samples.h"
#include "tests/transcoder/worker/scripted_broker.h"
#include "transcoder/worker/child/spawn.h"

namespace millrace::worker {
namespace fs = std::filesystem;

inline const Lease kLease{"tsk_a", 7};

// Another process, watched through a descriptor: that a number answers to kill(0) says nothing
// while its zombie waits to be reaped.
class Watched {
 public:
  explicit Watched(pid_t pid) : fd_(static_cast<int>(syscall(SYS_pidfd_open, pid, 0))) {}

  bool alive() const {
    pollfd polled{.fd = fd_.get(), .events = POLLIN, .revents = 0};
    return fd_ && poll(&polled, 1, 0) == 0;
  }
  void Kill(int signal) const {
    ASSERT_EQ(syscall(SYS_pidfd_send_signal, fd_.get(), signal, nullptr, 0), 0);
  }

 private:
  UniqueFd fd_;
};

// The real millrace-worker, with the fake encoder, against a scripted broker over real ZeroMQ.
class WorkerProgramTest : public testing::Test {
 protected:
  WorkerProgramTest()
      : endpoint_("ipc://" + (folder_.path() / "worker.sock").string()),
        store_(OpenFolderMediaStore({folder_.path() / "data", {}})) {
    auto upload = store_->BeginUpload("film.mov");
    upload->Write(std::string_view("bytes"));
    upload_ = upload->Commit().id;
  }
  ~WorkerProgramTest() override {
    if (pid_ == 0) return;
    kill(pid_, SIGKILL);
    waitpid(pid_, nullptr, 0);
  }

  void StartBroker(ScriptedBroker::Options options) {
    broker_.reset();
    broker_ = std::make_unique<ScriptedBroker>(endpoint_, options);
  }
  void StartWorker(std::vector<std::string> more = {},
                   const char* encoder = MILLRACE_FAKE_ENCODER) {
    std::vector<std::string> arguments = {"--data-dir",
                                          folder_.path() / "data",
                                          "--worker-endpoint",
                                          endpoint_,
                                          "--encoder",
                                          encoder,
                                          "--name",
                                          "test/1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    pid_ = Spawn({.program = MILLRACE_WORKER, .arguments = arguments, .descriptors = {}});
  }
  void Start() {
    StartBroker({});
    StartWorker();
    ASSERT_TRUE(broker_->Await(message::kRegister));
  }

  // `what` is a directive of the fake encoder.
  void Assign(const Lease& lease, const std::string& what) {
    broker_->Send(message::kAssign, AssignBody(lease, upload_, what));
  }
  // Assigns, and returns the encoder's and the zygote's process.
  std::pair<Watched, Watched> AssignAndWatch(const Lease& lease, const std::string& what) {
    Assign(lease, what);
    const fs::path file = store_->WorkFolder(lease.task, lease.fence) / "out/pids.json";
    nlohmann::json pids;
    const bool told = broker_->ServeUntil([&] {
      pids = fs::exists(file) ? nlohmann::json::parse(ReadWholeFile(file), nullptr, false) : pids;
      return pids.is_object();
    });
    EXPECT_TRUE(told);
    return {Watched(told ? pids.at("child").get<pid_t>() : -1),
            Watched(told ? pids.at("zygote").get<pid_t>() : -1)};
  }
  void Finish(const Lease& lease, const std::string& what = "succeed") {
    Assign(lease, what);
    const auto finished = broker_->Await(message::kFinished);
    ASSERT_TRUE(finished);
    EXPECT_EQ(finished->body.at("fence"), lease.fence);
    broker_->Reply(*finished, message::kAck);
  }

  // Waits for the worker to end by itself; returns its wait status.
  int WaitStatus() {
    int status = -1;
    EXPECT_TRUE(broker_->ServeUntil([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }));
    pid_ = 0;
    return status;
  }
  int ExitStatus() {
    const int status = WaitStatus();
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  bool WasKilled() {
    const int status = WaitStatus();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  std::vector<std::string> WorkFolders() const {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(folder_.path() / "data/work")) {
      names.push_back(entry.path().filename());
    }
    return names;
  }

  const TempDir folder_;
  const std::string endpoint_;
  std::unique_ptr<MediaStore> store_;
  std::string upload_;
  std::unique_ptr<ScriptedBroker> broker_;
  pid_t pid_ = 0;
};

}  // namespace millrace::worker
