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

  // As waitpid() has it, once the worker has ended by itself.
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

TEST_F(WorkerProgramTest, RegistersWithWhatItsEncoderCanDo) {
  StartBroker({});
  StartWorker({"--slots", "3", "--label", "zone=a"});
  const auto told = broker_->Await(message::kRegister);
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
  ASSERT_TRUE(broker_->Await(message::kStarted));
  const auto finished = broker_->Await(message::kFinished);
  ASSERT_TRUE(finished);
  EXPECT_EQ(finished->body.at("manifest").at("files").at(0).at("path"), "movie.mp4");
  EXPECT_TRUE(fs::exists(store_->WorkFolder("tsk_a", 7) / "out/movie.mp4"));
}

TEST_F(WorkerProgramTest, RepeatsItsReportUntilItIsAcknowledged) {
  Start();
  Assign(kLease, "succeed");
  const auto first = broker_->Await(message::kFinished);
  const auto second = broker_->Await(message::kFinished);
  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->id, second->id);
  broker_->Reply(*second, message::kAck);
  ASSERT_TRUE(broker_->Await(message::kBeat,
                             [](const Message& beat) { return beat.body.at("tasks").empty(); }));
}

TEST_F(WorkerProgramTest, GoesOnAfterABrokerThatWasRestarted) {
  Start();
  const fs::path gate = folder_.path() / "gate";
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const auto [child, zygote] = AssignAndWatch(kLease, "gate:" + gate.string());
  StartBroker({});
  const auto again = broker_->Await(message::kRegister);
  ASSERT_TRUE(again);
  ASSERT_EQ(again->body.at("running").size(), 1U);
  EXPECT_EQ(LeaseFromJson(again->body.at("running").at(0)), kLease);
  EXPECT_TRUE(again->body.at("running").at(0).contains("progress"));
  EXPECT_TRUE(child.alive());
  std::ofstream(gate) << "go";
  EXPECT_TRUE(broker_->Await(message::kFinished));
}

TEST_F(WorkerProgramTest, StopsTheEncoderOfACancelledTaskAndLeavesNoFiles) {
  Start();
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  const auto ordered_at = std::chrono::steady_clock::now();
  broker_->Send(message::kCancel, ToJson(kLease));
  const auto released = broker_->Await(message::kReleased);
  ASSERT_TRUE(released);
  EXPECT_LT(std::chrono::steady_clock::now() - ordered_at, std::chrono::seconds(1));
  EXPECT_EQ(released->body.at("reason"), "cancelled");
  EXPECT_FALSE(child.alive());
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(WorkerProgramTest, ReportsTheCrashOfAnEncoderAndGoesOn) {
  Start();
  Assign(kLease, "crash:" + std::to_string(SIGSEGV));
  const auto failed = broker_->Await(message::kFailed);
  ASSERT_TRUE(failed);
  const nlohmann::json& failure = failed->body.at("failure");
  EXPECT_EQ(failure.at("error").at("code"), "encoder_crashed");
  EXPECT_EQ(failure.at("error").at("context").at("signal"), "SIGSEGV");
  EXPECT_FALSE(failure.at("log_tail").empty());
  broker_->Reply(*failed, message::kAck);
  Finish({"tsk_b", 8});
}

TEST_F(WorkerProgramTest, StartsANewZygoteWhenItsOwnIsKilled) {
  Start();
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  zygote.Kill(SIGKILL);
  const auto failed = broker_->Await(message::kFailed);
  ASSERT_TRUE(failed);
  EXPECT_EQ(failed->body.at("failure").at("error").at("code"), "worker_lost");
  EXPECT_FALSE(child.alive());
  broker_->Reply(*failed, message::kAck);
  Finish({"tsk_b", 8});
}

TEST_F(WorkerProgramTest, KillsItsEncoderBeforeTheLeaseOfASilentBrokerEnds) {
  StartBroker({.lease_seconds = 1.5, .beat_seconds = 0.3});
  StartWorker();
  ASSERT_TRUE(broker_->Await(message::kRegister));
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  broker_->BeSilent();
  const auto again = broker_->Await(message::kRegister);
  ASSERT_TRUE(again);
  EXPECT_THAT(again->body.at("running"), IsEmpty());
  EXPECT_TRUE(
      broker_->ServeUntil([&, &child = child] { return !child.alive() && WorkFolders().empty(); }));
}

TEST_F(WorkerProgramTest, DrainsOnSigterm) {
  Start();
  const fs::path gate = folder_.path() / "gate";
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  AssignAndWatch(kLease, "gate:" + gate.string());
  kill(pid_, SIGTERM);
  ASSERT_TRUE(broker_->Await(message::kBeat,
                             [](const Message& beat) { return beat.body.at("draining") == true; }));
  Assign({"tsk_b", 8}, "succeed");
  const auto refused = broker_->Await(message::kReleased);
  ASSERT_TRUE(refused);
  EXPECT_EQ(refused->body.at("fence"), 8);
  std::ofstream(gate) << "go";
  const auto finished = broker_->Await(message::kFinished);
  ASSERT_TRUE(finished);
  broker_->Reply(*finished, message::kAck);
  EXPECT_TRUE(broker_->Await(message::kGoodbye));
  EXPECT_EQ(ExitStatus(), 0);
}

TEST_F(WorkerProgramTest, ReleasesItsTasksOnASecondSigterm) {
  Start();
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  kill(pid_, SIGTERM);
  ASSERT_TRUE(broker_->Await(message::kBeat,
                             [](const Message& beat) { return beat.body.at("draining") == true; }));
  kill(pid_, SIGTERM);
  const auto released = broker_->Await(message::kReleased);
  ASSERT_TRUE(released);
  EXPECT_EQ(released->body.at("reason"), "draining");
  EXPECT_FALSE(child.alive());
  broker_->Reply(*released, message::kAck);
  EXPECT_EQ(ExitStatus(), 0);
  EXPECT_FALSE(zygote.alive());
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(WorkerProgramTest, TakesItsChildrenWithItWhenItIsKilled) {
  Start();
  const auto [child, zygote] = AssignAndWatch(kLease, "hang");
  kill(pid_, SIGKILL);
  EXPECT_TRUE(broker_->ServeUntil(
      [&child = child, &zygote = zygote] { return !child.alive() && !zygote.alive(); }));
}

// Sets the variable for the programs that are started while it lives.
class Failpoints {
 public:
  explicit Failpoints(const char* plan) { setenv("MILLRACE_FAILPOINTS", plan, 1); }
  ~Failpoints() { unsetenv("MILLRACE_FAILPOINTS"); }
  Failpoints(const Failpoints&) = delete;
  Failpoints& operator=(const Failpoints&) = delete;
};

TEST_F(WorkerProgramTest, DiesOnPurposeAfterAnAssignment) {
  const Failpoints plan("worker.after_assign=crash");
  Start();
  Assign(kLease, "hang");
  EXPECT_TRUE(WasKilled());
}

TEST_F(WorkerProgramTest, DiesOnPurposeBeforeTheBrokerKnowsOfAResult) {
  const Failpoints plan("worker.before_finished=crash");
  Start();
  Assign(kLease, "succeed");
  // What it said just before, that the task has started, may die with it.
  EXPECT_TRUE(WasKilled());
  EXPECT_TRUE(fs::exists(store_->WorkFolder("tsk_a", 7) / "out/movie.mp4"));
}

TEST_F(WorkerProgramTest, DiesOnPurposeOnceTheBrokerHasTheResult) {
  const Failpoints plan("worker.after_finished=crash");
  Start();
  Assign(kLease, "succeed");
  const auto finished = broker_->Await(message::kFinished);
  ASSERT_TRUE(finished);
  broker_->Reply(*finished, message::kAck);
  EXPECT_TRUE(WasKilled());
}

TEST_F(WorkerProgramTest, KillsItsEncoderWhenItWasFrozenForLongerThanItsLease) {
  StartBroker({.lease_seconds = 1.5, .beat_seconds = 0.3});
  StartWorker();
  ASSERT_TRUE(broker_->Await(message::kRegister));
  const fs::path gate = folder_.path() / "gate";
  ASSERT_EQ(mkfifo(gate.c_str(), 0600), 0);
  const auto [child, zygote] = AssignAndWatch(kLease, "gate:" + gate.string());
  kill(pid_, SIGSTOP);
  const auto frozen_at = std::chrono::steady_clock::now();
  // The encoder, which is not frozen, has a result before the worker wakes up.
  std::ofstream(gate) << "go";
  ASSERT_TRUE(broker_->ServeUntil([&, &child = child] {
    return !child.alive() && std::chrono::steady_clock::now() - frozen_at > std::chrono::seconds(2);
  }));
  kill(pid_, SIGCONT);
  const auto again = broker_->Await(message::kRegister);
  ASSERT_TRUE(again);
  EXPECT_THAT(again->body.at("running"), IsEmpty());
  EXPECT_TRUE(broker_->ServeUntil([&] { return WorkFolders().empty(); }));
  EXPECT_FALSE(broker_->Heard(message::kFinished));
}

// The first child of a process.
pid_t ChildOf(pid_t parent) {
  const std::string number = std::to_string(parent);
  pid_t child = 0;
  std::ifstream("/proc/" + number + "/task/" + number + "/children") >> child;
  return child;
}

// With the real encoder, which is killed in the middle of its work as a crash would end it.
TEST_F(WorkerProgramTest, HasAnExcerptCutWhereItsEncoderCrashed) {
  const fs::path film = folder_.path() / "film.mkv";
  ASSERT_EQ(
      fixtures::RunProcess({"ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i",
                            "testsrc2=s=480x270:r=25:d=60", "-c:v", "mpeg4", "-q:v", "3", film})
          .exit_code,
      0);
  auto upload = store_->BeginUpload("film.mkv");
  upload->Write(ReadWholeFile(film));
  const std::string id = upload->Commit().id;
  StartBroker({});
  StartWorker({"--threads", "1"}, MILLRACE_ENCODE);
  ASSERT_TRUE(broker_->Await(message::kRegister));
  broker_->Send(message::kAssign, AssignBody(kLease, id, "film.mkv"));
  const auto midway = broker_->Await(message::kBeat, [](const Message& beat) {
    const nlohmann::json& tasks = beat.body.at("tasks");
    return tasks.size() == 1 && tasks[0].at("progress").at("media_seconds") > 6;
  });
  ASSERT_TRUE(midway);
  const pid_t zygote = ChildOf(pid_);
  const pid_t encoder = ChildOf(zygote);
  ASSERT_GT(encoder, 0);
  Watched(encoder).Kill(SIGSEGV);
  const auto failed = broker_->Await(message::kFailed);
  ASSERT_TRUE(failed);
  const nlohmann::json& error = failed->body.at("failure").at("error");
  EXPECT_EQ(error.at("code"), "encoder_crashed");
  ASSERT_EQ(error.at("context").value("excerpt", ""), "excerpt.mkv") << error;
  const fs::path work = store_->WorkFolder(kLease.task, kLease.fence);
  const nlohmann::json facts = fixtures::MeasureFacts(work / "excerpt.mkv");
  ASSERT_EQ(facts.at("readable"), true);
  const double moment = error.at("context").at("media_seconds");
  const double start = facts.at("start_seconds");
  EXPECT_LE(start, moment);
  EXPECT_GE(start + facts.at("seconds").get<double>(), moment);
  EXPECT_LE(facts.at("seconds"), 15) << "a piece of sixty seconds";
}

TEST_F(WorkerProgramTest, AnswersAProbe) {
  Start();
  broker_->Send(message::kProbe, {{"probe", "prb_1"},
                                  {"input", ToJson(Input{.upload = upload_, .path = {}})},
                                  {"input_name", "succeed"},
                                  {"deadline_ms", 20000}});
  const auto probed = broker_->Await(message::kProbed);
  ASSERT_TRUE(probed);
  EXPECT_EQ(probed->body.at("probe"), "prb_1");
  EXPECT_EQ(probed->body.at("media").at("format"), "fake");
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(WorkerProgramTest, WaitsForABrokerThatIsNotThereYet) {
  StartWorker();
  StartBroker({});
  EXPECT_TRUE(broker_->Await(message::kRegister));
}

TEST_F(WorkerProgramTest, DoesNotStartWithoutAnEncoder) {
  StartBroker({});
  pid_ = Spawn({.program = MILLRACE_WORKER,
                .arguments = {"--data-dir", folder_.path() / "data", "--encoder", "/none/encoder"},
                .descriptors = {}});
  EXPECT_EQ(ExitStatus(), 1);
}

}  // namespace
}  // namespace millrace::worker
