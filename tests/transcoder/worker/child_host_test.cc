#include "transcoder/worker/child/child_host.h"

#include "tests/transcoder/worker/child_host_fixture.h"

namespace millrace::worker {
namespace {

using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

TEST_F(ChildHostTest, RunsATaskInItsWorkFolderAndReportsItsManifest) {
  Start(kLease, "succeed");
  Until([&] { return !events_.finished.empty(); });
  EXPECT_THAT(events_.started, testing::ElementsAre(kLease));
  EXPECT_EQ(events_.media.at("format"), "fake");
  EXPECT_EQ(events_.progress.percent, 50);
  ASSERT_EQ(events_.manifest.files.size(), 1U);
  EXPECT_EQ(events_.usage.exit_status, 0);
  EXPECT_GT(events_.usage.peak_rss_bytes, 0);
  const fs::path work = store_->WorkFolder("tsk_a", 7);
  EXPECT_EQ(ReadWholeFile(work / "out/movie.mp4"), "film");
  EXPECT_EQ(ReadWholeFile(work / "log.txt"), "log line of succeed\n");
  const TaskDocument task = TaskFromJson(nlohmann::json::parse(ReadWholeFile(work / "task.json")));
  EXPECT_EQ(task.threads, 3);
  EXPECT_EQ(task.attempt, 2);
  EXPECT_EQ(task.fence, 7);
  EXPECT_EQ(ReadWholeFile(task.input_path), "bytes");
  EXPECT_EQ(task.output_dir, work / "out");
}

TEST_F(ChildHostTest, RunsSeveralTasksAtATime) {
  for (int i = 0; i < 8; ++i) Start({"tsk_" + std::to_string(i), i + 1}, "succeed");
  Until([&] { return events_.finished.size() == 8; });
}

TEST_F(ChildHostTest, PassesOnTheErrorThatTheEncoderReports) {
  const AttemptFailure& failure = FailureOf("fail:no_streams");
  EXPECT_EQ(failure.error.code(), ErrorCode::kNoStreams);
  EXPECT_STREQ(failure.error.what(), "as told");
  EXPECT_EQ(failure.usage.exit_status, 1);
  EXPECT_THAT(failure.log_tail, Contains("log line of fail:no_streams"));
  const fs::path work = store_->WorkFolder("tsk_a", 7);
  EXPECT_TRUE(fs::exists(work / "log.txt")) << "for the dead letter";
  EXPECT_FALSE(fs::exists(work / "out"));
}

TEST_F(ChildHostTest, ReportsACrashWithItsSignal) {
  const AttemptFailure& failure = FailureOf("crash:" + std::to_string(SIGSEGV));
  EXPECT_EQ(failure.error.code(), ErrorCode::kEncoderCrashed);
  EXPECT_EQ(failure.error.context().at("signal"), "SIGSEGV");
  EXPECT_EQ(failure.usage.signal, SIGSEGV);
}

TEST_F(ChildHostTest, DoesNotBelieveAResultThatIsFollowedByACrash) {
  EXPECT_EQ(FailureOf("late-crash").error.code(), ErrorCode::kEncoderCrashed);
}

TEST_F(ChildHostTest, DoesNotTakeStatusZeroForSuccess) {
  const AttemptFailure& failure = FailureOf("exit:0");
  EXPECT_EQ(failure.error.code(), ErrorCode::kEncodeFailed);
  EXPECT_THAT(failure.error.what(), HasSubstr("status 0"));
}

TEST_F(ChildHostTest, NamesTheStatusOfAnExitWithoutAResult) {
  EXPECT_THAT(FailureOf("exit:3").error.what(), HasSubstr("status 3"));
}

TEST_F(ChildHostTest, IsNotDisturbedByNoiseOnTheReportPipe) {
  Start(kLease, "noise");
  Until([&] { return !events_.finished.empty(); });
  EXPECT_EQ(events_.manifest.files.size(), 1U);
}

TEST_F(ChildHostTest, KillsAnEncoderThatReportsNothing) {
  MakeHost(100ms);
  EXPECT_EQ(FailureOf("hang").error.code(), ErrorCode::kStalled);
}

TEST_F(ChildHostTest, KillsAnEncoderWhoseMediaTimeStandsStill) {
  MakeHost(300ms);
  const AttemptFailure& failure = FailureOf("loop");
  EXPECT_EQ(failure.error.code(), ErrorCode::kStalled);
  EXPECT_EQ(failure.error.context().at("media_seconds"), 0.5);
}

TEST_F(ChildHostTest, KillsAnEncoderWhoseMediaTimeGoesBackAndForth) {
  MakeHost(300ms);
  const AttemptFailure& failure = FailureOf("jitter");
  EXPECT_EQ(failure.error.code(), ErrorCode::kStalled);
  EXPECT_EQ(failure.error.traits().retry, RetryClass::kCrash);
}

TEST_F(ChildHostTest, StopsATaskAndLeavesNoFiles) {
  Start(kLease, "hang");
  Until([&] { return !events_.started.empty(); });
  host_->Stop(kLease);
  Until([&] { return !events_.stopped.empty(); });
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(ChildHostTest, StopsATaskThatFloodsItsReportPipe) {
  Start(kLease, "flood");
  Until([&] { return events_.progress.percent == 1; });
  host_->Stop(kLease);
  Until([&] { return !events_.stopped.empty(); });
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(ChildHostTest, StartsANewZygoteWhenTheOldOneDies) {
  const AttemptFailure& failure = FailureOf("kill-zygote");
  EXPECT_EQ(failure.error.code(), ErrorCode::kWorkerLost) << "not the media's fault";
  Start({"tsk_b", 8}, "succeed");
  Until([&] { return !events_.finished.empty(); });
}

TEST_F(ChildHostTest, GoesOnAfterZygotesThatKeepDying) {
  for (int i = 0; i < 3; ++i) {
    Start({"tsk_" + std::to_string(i), i + 1}, "kill-zygote");
    Until([&] { return events_.failures.size() == static_cast<size_t>(i + 1); });
  }
  Start(kLease, "succeed");
  Until([&] { return !events_.finished.empty(); });
}

TEST_F(ChildHostTest, StopsARunThatStillWaitsForAZygote) {
  for (int i = 0; i < 2; ++i) {
    Start({"tsk_" + std::to_string(i), i + 1}, "kill-zygote");
    Until([&] { return events_.failures.size() == static_cast<size_t>(i + 1); });
  }
  Start(kLease, "hang");
  host_->Stop(kLease);
  Until([&] { return !events_.stopped.empty(); });
}

TEST_F(ChildHostTest, FailsATaskWhoseInputIsGone) {
  upload_ = "upl_00000000000000000000000000000000";
  EXPECT_EQ(FailureOf("succeed").error.code(), ErrorCode::kUploadNotFound);
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(ChildHostTest, AnswersAProbeAndLeavesNoFiles) {
  StartProbe("succeed", 30s);
  Until([&] { return !events_.probed.empty(); });
  EXPECT_EQ(events_.media.at("format"), "fake");
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(ChildHostTest, PassesOnWhyAProbeFailed) {
  StartProbe("fail:not_media", 30s);
  Until([&] { return !events_.probe_errors.empty(); });
  EXPECT_EQ(events_.probe_errors.back(), ErrorCode::kNotMedia);
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(ChildHostTest, KillsAProbeAtItsDeadline) {
  StartProbe("hang", 50ms);
  Until([&] { return !events_.probe_errors.empty(); });
  EXPECT_EQ(events_.probe_errors.back(), ErrorCode::kDeadlineExceeded);
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(ChildHostTest, EndsItsRunsAndDiscardsTheirFilesWhenDestroyed) {
  Start(kLease, "hang");
  StartProbe("hang", 30s);
  Until([&] { return !events_.started.empty(); });
  fs::create_directory(folder_.path() / "work/tsk_stranger.1");
  host_.reset();
  EXPECT_THAT(WorkFolders(), testing::ElementsAre("tsk_stranger.1"));
}

// A store on a full disk.
class FullStore final : public MediaStore {
 public:
  explicit FullStore(MediaStore& store) : store_(store) {}
  std::unique_ptr<UploadWriter> BeginUpload(std::string_view name) override {
    return store_.BeginUpload(name);
  }
  std::optional<Upload> FindUpload(const std::string& id) const override {
    return store_.FindUpload(id);
  }
  fs::path Resolve(const Input& input) const override { return store_.Resolve(input); }
  fs::path CreateWork(const std::string&, Fence) override {
    throw Error(ErrorCode::kStorageFull, "create folder: no space left on device");
  }
  fs::path WorkFolder(const std::string& task, Fence fence) const override {
    return store_.WorkFolder(task, fence);
  }
  void DiscardWork(const std::string& task, Fence fence) override {
    store_.DiscardWork(task, fence);
  }
  std::vector<std::string> Publish(const std::string& job,
                                   const std::vector<TaskOutputs>& made) override {
    return store_.Publish(job, made);
  }
  std::optional<fs::path> FindOutput(const std::string& job, Fence fence,
                                     std::string_view path) const override {
    return store_.FindOutput(job, fence, path);
  }
  fs::path WriteDeadLetter(const DeadLetter& letter) override {
    return store_.WriteDeadLetter(letter);
  }
  fs::path DeadLetterFolder(const std::string& job) const override {
    return store_.DeadLetterFolder(job);
  }

 private:
  MediaStore& store_;
};

TEST_F(ChildHostTest, BlamesTheWorkerForAFullDisk) {
  FullStore full(*store_);
  host_ = std::make_unique<ChildHost>(
      ChildHostOptions{.encoder = MILLRACE_FAKE_ENCODER, .threads = 1, .stall_timeout = 60s}, full,
      clock_);
  EXPECT_EQ(FailureOf("succeed").error.code(), ErrorCode::kWorkerDiskFull);
}

}  // namespace
}  // namespace millrace::worker
