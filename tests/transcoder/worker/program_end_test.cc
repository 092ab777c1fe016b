// How millrace-worker ends, and what it leaves when it is killed or was frozen.
#include "tests/transcoder/worker/program_fixture.h"

namespace millrace::worker {
namespace {

using testing::IsEmpty;

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

TEST_F(WorkerProgramTest, ItsChildrenEndWhenItIsKilled) {
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
  // The message just before, that the task has started, may be lost with it.
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

}  // namespace
}  // namespace millrace::worker
