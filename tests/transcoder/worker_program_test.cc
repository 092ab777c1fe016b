// The real millrace-worker, with the fake encoder, against a scripted broker over real ZeroMQ.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "core/files.h"
#include "core/media_store.h"
#include "tests/fakes/temp_dir.h"
#include "tests/transcoder/scripted_broker.h"
#include "tests/transcoder/worker_samples.h"
#include "transcoder/unique_fd.h"
#include "transcoder/worker/child/spawn.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using testing::IsEmpty;

const Lease kLease{"tsk_a", 7};

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
  void StartWorker(std::vector<std::string> more = {}) {
    std::vector<std::string> arguments = {"--data-dir",
                                          folder_.path() / "data",
                                          "--worker-endpoint",
                                          endpoint_,
                                          "--encoder",
                                          MILLRACE_FAKE_ENCODER,
                                          "--name",
                                          "test/1"};
    arguments.insert(arguments.end(), more.begin(), more.end());
    pid_ = Spawn({.program = MILLRACE_WORKER, .arguments = arguments, .descriptors = {}});
  }
  void Start() {
    StartBroker({});
    StartWorker();
    ASSERT_TRUE(broker_->Await(worker::kRegister));
  }

  // `what` is a directive of the fake encoder.
  void Assign(const Lease& lease, const std::string& what) {
    broker_->Send(worker::kAssign, AssignBody(lease, upload_, what));
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
    const auto finished = broker_->Await(worker::kFinished);
    ASSERT_TRUE(finished);
    EXPECT_EQ(finished->body.at("fence"), lease.fence);
    broker_->Reply(*finished, worker::kAck);
  }

  // Its status once the worker has ended by itself.
  int ExitStatus() {
    int status = -1;
    EXPECT_TRUE(broker_->ServeUntil([&] { return waitpid(pid_, &status, WNOHANG) == pid_; }));
    pid_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
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

TEST_F(WorkerProgramTest, RegistersWithWhatItsEncoderCanDo) {
  StartBroker({});
  StartWorker({"--slots", "3", "--label", "zone=a"});
  const auto told = broker_->Await(worker::kRegister);
  ASSERT_TRUE(told);
  EXPECT_EQ(told->body.at("name"), "test/1");
  EXPECT_EQ(told->body.at("slots"), 3);
  EXPECT_EQ(told->body.at("encoders"), nlohmann::json({"h264", "aac"}));
  EXPECT_EQ(told->body.at("versions").at("fake"), "1.0");
  EXPECT_EQ(told->body.at("labels").at("zone"), "a");
  EXPECT_GT(told->body.at("memory_bytes"), 0);
}

TEST_F(WorkerProgramTest, TouchesItsAliveFileOnceTheBrokerHasAnswered) {
  const fs::path file = folder_.path() / "alive";
  StartBroker({});
  StartWorker({"--alive-file", file});
  EXPECT_TRUE(broker_->ServeUntil([&] { return fs::exists(file); }));
}

TEST_F(WorkerProgramTest, RunsATaskAndReportsIt) {
  Start();
  Assign(kLease, "succeed");
  ASSERT_TRUE(broker_->Await(worker::kStarted));
  const auto finished = broker_->Await(worker::kFinished);
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->body.at("manifest").at("files").at(0).at("path"), "movie.mp4");
  EXPECT_TRUE(fs::exists(store_->WorkFolder("tsk_a", 7) / "out/movie.mp4"));
}

TEST_F(WorkerProgramTest, RepeatsItsReportUntilItIsAcknowledged) {
  Start();
  Assign(kLease, "succeed");
  const auto first = broker_->Await(worker::kFinished);
  const auto second = broker_->Await(worker::kFinished);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->id, second->id);
  broker_->Reply(*second, worker::kAck);
  ASSERT_TRUE(broker_->Await(worker::kBeat,
                             [](const Message& beat) { return beat.body.at("tasks").empty(); }));
}

TEST_F(WorkerProgramTest, GoesOnAfterABrokerThatWasRestarted) {
  Start();
  const fs::path gate = folder_.path() / "gate";
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const auto [child, zygote] = AssignAndWatch(kLease, "gate:" + gate.string());
  StartBroker({});
  const auto again = broker_->Await(worker::kRegister);
  ASSERT_TRUE(again);
  EXPECT_EQ(again->body.at("running"), nlohmann::json::array({ToJson(kLease)}));
  EXPECT_TRUE(child.alive());
  std::ofstream(gate) << "go";
  EXPECT_TRUE(broker_->Await(worker::kFinished));
}

TEST_F(WorkerProgramTest, StopsTheEncoderOfACancelledTaskAndLeavesNoFiles) {
  Start();
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  const auto ordered_at = std::chrono::steady_clock::now();
  broker_->Send(worker::kCancel, ToJson(kLease));
  const auto released = broker_->Await(worker::kReleased);
  ASSERT_TRUE(released);
  EXPECT_LT(std::chrono::steady_clock::now() - ordered_at, std::chrono::seconds(1));
  EXPECT_EQ(released->body.at("reason"), "cancelled");
  EXPECT_FALSE(child.alive());
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(WorkerProgramTest, ReportsTheCrashOfAnEncoderAndGoesOn) {
  Start();
  Assign(kLease, "crash:" + std::to_string(SIGSEGV));
  const auto failed = broker_->Await(worker::kFailed);
  ASSERT_TRUE(failed);
  const nlohmann::json& failure = failed->body.at("failure");
  EXPECT_EQ(failure.at("error").at("code"), "encoder_crashed");
  EXPECT_EQ(failure.at("error").at("context").at("signal"), "SIGSEGV");
  EXPECT_FALSE(failure.at("log_tail").empty());
  broker_->Reply(*failed, worker::kAck);
  Finish({"tsk_b", 8});
}

TEST_F(WorkerProgramTest, StartsANewZygoteWhenItsOwnIsKilled) {
  Start();
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  zygote.Kill(SIGKILL);
  const auto failed = broker_->Await(worker::kFailed);
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->body.at("failure").at("error").at("code"), "worker_lost");
  EXPECT_FALSE(child.alive());
  broker_->Reply(*failed, worker::kAck);
  Finish({"tsk_b", 8});
}

TEST_F(WorkerProgramTest, KillsItsEncoderBeforeTheLeaseOfASilentBrokerEnds) {
  StartBroker({.lease_seconds = 1.5, .beat_seconds = 0.3});
  StartWorker();
  ASSERT_TRUE(broker_->Await(worker::kRegister));
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  broker_->BeSilent();
  const auto again = broker_->Await(worker::kRegister);
  ASSERT_TRUE(again);
  EXPECT_THAT(again->body.at("running"), IsEmpty());
  EXPECT_TRUE(broker_->ServeUntil([&] { return !child.alive() && WorkFolders().empty(); }));
}

TEST_F(WorkerProgramTest, DrainsOnSigterm) {
  Start();
  const fs::path gate = folder_.path() / "gate";
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  AssignAndWatch(kLease, "gate:" + gate.string());
  kill(pid_, SIGTERM);
  ASSERT_TRUE(broker_->Await(worker::kBeat,
                             [](const Message& beat) { return beat.body.at("draining") == true; }));
  Assign({"tsk_b", 8}, "succeed");
  const auto refused = broker_->Await(worker::kReleased);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->body.at("fence"), 8);
  std::ofstream(gate) << "go";
  const auto finished = broker_->Await(worker::kFinished);
  ASSERT_TRUE(finished);
  broker_->Reply(*finished, worker::kAck);
  EXPECT_TRUE(broker_->Await(worker::kGoodbye));
  EXPECT_EQ(ExitStatus(), 0);
}

TEST_F(WorkerProgramTest, ReleasesItsTasksOnASecondSigterm) {
  Start();
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  kill(pid_, SIGTERM);
  ASSERT_TRUE(broker_->Await(worker::kBeat,
                             [](const Message& beat) { return beat.body.at("draining") == true; }));
  kill(pid_, SIGTERM);
  const auto released = broker_->Await(worker::kReleased);
  ASSERT_TRUE(released);
  EXPECT_EQ(released->body.at("reason"), "draining");
  EXPECT_FALSE(child.alive());
  broker_->Reply(*released, worker::kAck);
  EXPECT_EQ(ExitStatus(), 0);
  EXPECT_FALSE(zygote.alive());
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(WorkerProgramTest, TakesItsChildrenWithItWhenItIsKilled) {
  Start();
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  kill(pid_, SIGKILL);
  EXPECT_TRUE(broker_->ServeUntil([&] { return !child.alive() && !zygote.alive(); }));
}

TEST_F(WorkerProgramTest, AnswersAProbe) {
  Start();
  broker_->Send(worker::kProbe, {{"probe", "prb_1"},
                                 {"input", ToJson(Input{.upload = upload_, .path = {}})},
                                 {"input_name", "succeed"},
                                 {"deadline_ms", 20000}});
  const auto probed = broker_->Await(worker::kProbed);
  ASSERT_TRUE(probed);
  EXPECT_EQ(probed->body.at("probe"), "prb_1");
  EXPECT_EQ(probed->body.at("media").at("format"), "fake");
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(WorkerProgramTest, WaitsForABrokerThatIsNotThereYet) {
  StartWorker();
  StartBroker({});
  EXPECT_TRUE(broker_->Await(worker::kRegister));
}

TEST_F(WorkerProgramTest, DoesNotStartWithoutAnEncoder) {
  StartBroker({});
  pid_ = Spawn({.program = MILLRACE_WORKER,
                .arguments = {"--data-dir", folder_.path() / "data", "--encoder", "/none/encoder"},
                .descriptors = {}});
  EXPECT_EQ(ExitStatus(), 1);
}

}  // namespace
}  // namespace millrace
