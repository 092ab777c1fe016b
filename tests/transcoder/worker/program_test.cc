// What millrace-worker does with what its broker says.
#include "tests/transcoder/worker/program_fixture.h"

namespace millrace::worker {
namespace {

using testing::IsEmpty;

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

// The first child of a process.
pid_t ChildOf(pid_t parent) {
  const std::string number = std::to_string(parent);
  pid_t child = 0;
  std::ifstream("/proc/" + number + "/task/" + number + "/children") >> child;
  return child;
}

// With the real encoder, which is killed in the middle of its work as a crash would end it.
TEST_F(WorkerProgramTest, CutsAnExcerptAroundTheCrashOfItsEncoder) {
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
