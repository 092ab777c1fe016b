#include "transcoder/worker/child/child_host.h"

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
#include "transcoder/worker/lease.h"

namespace millrace::worker {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;
using testing::Contains;
using testing::HasSubstr;
using testing::IsEmpty;

const Lease kLease{"tsk_a", 7};

// Writes down what is told of the runs.
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

TEST_F(ChildHostTest, TakesItsRunsAndTheirFilesWithIt) {
  Start(kLease, "hang");
  StartProbe("hang", 30s);
  Until([&] { return !events_.started.empty(); });
  fs::create_directory(folder_.path() / "work/tsk_stranger.1");
  host_.reset();
  EXPECT_THAT(WorkFolders(), testing::ElementsAre("tsk_stranger.1"));
}

// A failed attempt at an input that is large enough for an excerpt.
class ExcerptOfTest : public ChildHostTest {
 protected:
  ExcerptOfTest() {
    auto upload = store_->BeginUpload("film.mov");
    upload->Write(std::string(size_t{1} << 20, 'x'));
    upload_ = upload->Commit().id;
  }
  void MakeImpatientHost() {
    host_.reset();
    host_ = std::make_unique<ChildHost>(ChildHostOptions{.encoder = MILLRACE_FAKE_ENCODER,
                                                         .threads = 1,
                                                         .stall_timeout = 60s,
                                                         .excerpt_patience = 100ms},
                                        *store_, clock_);
  }
  // Until its child runs.
  void UntilCutting() {
    Until([&] { return fs::exists(Work() / "cut/out/pids.json"); });
    ASSERT_THAT(events_.failures, IsEmpty());
  }
  fs::path Work() const { return store_->WorkFolder("tsk_a", 7); }
  void ExpectNoExcerptIn(const AttemptFailure& failure) const {
    EXPECT_EQ(failure.error.code(), ErrorCode::kEncoderCrashed);
    EXPECT_FALSE(failure.error.context().contains("excerpt"));
    EXPECT_FALSE(fs::exists(Work() / "excerpt.mkv"));
  }
};

TEST_F(ExcerptOfTest, StandsBesideTheLogAndIsNamedByTheFailure) {
  const AttemptFailure& failure = FailureOf("break:succeed");
  EXPECT_EQ(failure.error.code(), ErrorCode::kEncoderCrashed);
  EXPECT_EQ(failure.error.context().at("excerpt"), "excerpt.mkv");
  EXPECT_EQ(failure.error.context().at("media_seconds"), 12.5);
  EXPECT_EQ(ReadWholeFile(Work() / "excerpt.mkv"), R"({"media_seconds":12.5})");
  EXPECT_FALSE(fs::exists(Work() / "cut"));
  const auto task = nlohmann::json::parse(ReadWholeFile(Work() / "task.json"));
  EXPECT_EQ(task.at("kind"), "transcode") << "what failed is what can be repeated";
  EXPECT_THAT(failure.log_tail, Contains("log line of break:succeed"));
}

TEST_F(ExcerptOfTest, IsLeftOutIfItCannotBeCut) {
  ExpectNoExcerptIn(FailureOf("break:crash"));
  EXPECT_FALSE(fs::exists(Work() / "cut"));
}

TEST_F(ExcerptOfTest, IsLeftOutIfItIsTooLarge) { ExpectNoExcerptIn(FailureOf("break:huge")); }

TEST_F(ExcerptOfTest, IsNotWaitedForForLong) {
  MakeImpatientHost();
  ExpectNoExcerptIn(FailureOf("break:hang"));
  Until([&] { return !fs::exists(Work() / "cut"); });
  EXPECT_EQ(events_.failures.size(), 1U);
  EXPECT_TRUE(fs::exists(Work() / "log.txt"));
}

TEST_F(ExcerptOfTest, IsNotCutForALeaseThatIsLost) {
  Start(kLease, "break:hang");
  UntilCutting();
  host_->Stop(kLease);
  Until([&] { return !events_.stopped.empty(); });
  EXPECT_THAT(events_.failures, IsEmpty());
  EXPECT_THAT(WorkFolders(), IsEmpty());
}

TEST_F(ExcerptOfTest, IsNotCutByAWorkerThatIsToldToLeave) {
  Start(kLease, "break:hang");
  UntilCutting();
  host_->SkipExcerpts();
  Until([&] { return !events_.failures.empty(); });
  ExpectNoExcerptIn(events_.failures.back().second);
  Start({"tsk_b", 8}, "break:succeed");
  Until([&] { return events_.failures.size() == 2; });
  EXPECT_FALSE(events_.failures.back().second.error.context().contains("excerpt"));
}

TEST_F(ExcerptOfTest, LeavesTheFilesOfAFailureThatWasToldBehind) {
  MakeImpatientHost();
  FailureOf("break:hang");
  host_.reset();
  EXPECT_THAT(WorkFolders(), testing::ElementsAre("tsk_a.7"));
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
  bool Publish(const std::string& task, const std::string& job, Fence fence,
               const Manifest& manifest) override {
    return store_.Publish(task, job, fence, manifest);
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

TEST_F(ChildHostTest, LaysAFullDiskToTheWorker) {
  FullStore full(*store_);
  host_ = std::make_unique<ChildHost>(
      ChildHostOptions{.encoder = MILLRACE_FAKE_ENCODER, .threads = 1, .stall_timeout = 60s}, full,
      clock_);
  EXPECT_EQ(FailureOf("succeed").error.code(), ErrorCode::kWorkerDiskFull);
}

}  // namespace
}  // namespace millrace::worker
