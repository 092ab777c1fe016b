// The piece of the input that a worker has cut around a failure.
#include "tests/transcoder/worker/child_host_fixture.h"

namespace millrace::worker {
namespace {

using testing::Contains;
using testing::IsEmpty;

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
  // Waits until the child that cuts runs.
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

TEST_F(ExcerptOfTest, IsLeftOutIfItTakesTooLong) {
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

TEST_F(ExcerptOfTest, LeavesTheFilesOfAReportedFailureInPlace) {
  MakeImpatientHost();
  FailureOf("break:hang");
  host_.reset();
  EXPECT_THAT(WorkFolders(), testing::ElementsAre("tsk_a.7"));
}

}  // namespace
}  // namespace millrace::worker
