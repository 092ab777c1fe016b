#include "broker/io/progress_log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>

#include "tests/broker/sample_records.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;

class ProgressLogTest : public testing::Test {
 protected:
  // What a broker that starts now would show of the job.
  std::map<std::string, int> Shown() { return ProgressLog(file_).ShownOf({job_}); }

  TempDir dir_;
  const fs::path file_ = dir_.path() / "run" / "progress.log";
  Job job_ = samples::SmallJob();
};

TEST_F(ProgressLogTest, RemembersTheLastPercentOfEachJob) {
  ProgressLog log(file_);
  log.ShownOf({job_});
  log.Note(job_.id, 1, 10);
  log.Note(NewJobId(), 1, 77);
  log.Flush();
  log.Note(job_.id, 1, 42);
  EXPECT_THAT(Shown(), ElementsAre(Pair(job_.id, 10))) << "not flushed yet";
  ProgressLog other(dir_.path() / "other.log");
  other.Note(job_.id, 1, 42);
  other.Flush();
  EXPECT_THAT(ProgressLog(dir_.path() / "other.log").ShownOf({job_}),
              ElementsAre(Pair(job_.id, 42)));
}

TEST_F(ProgressLogTest, ForgetsEarlierGenerationsAndJobsThatHaveEnded) {
  ProgressLog log(file_);
  log.Note(job_.id, 1, 90);
  log.Flush();
  job_.generation = 2;
  EXPECT_THAT(Shown(), IsEmpty());
  job_.generation = 1;
  EXPECT_THAT(Shown(), IsEmpty()) << "it was dropped when the file was made anew";
}

TEST_F(ProgressLogTest, IgnoresATornLastLineAndWhatItCannotRead) {
  fs::create_directories(file_.parent_path());
  std::ofstream(file_) << job_.id << " 1 10\nnonsense\n"
                       << job_.id << " 1 x\n"
                       << job_.id << " 1 400\n"
                       << job_.id << " 1 9";
  EXPECT_THAT(Shown(), ElementsAre(Pair(job_.id, 10)));
}

TEST_F(ProgressLogTest, CompactsItsFileAsItGrows) {
  ProgressLog log(file_);
  log.ShownOf({job_});
  for (int i = 0; i < 60'000; ++i) {
    log.Note(job_.id, 1, i % 2);
    log.Flush();
  }
  EXPECT_LE(fs::file_size(file_), 1U << 20);
  EXPECT_THAT(Shown(), ElementsAre(Pair(job_.id, 1)));
}

TEST_F(ProgressLogTest, MakesUpForWhatCouldNotBeWritten) {
  std::ofstream(dir_.path() / "run") << "a file where the folder should be";
  ProgressLog log(file_);
  log.Note(job_.id, 1, 10);
  log.Flush();
  fs::remove(dir_.path() / "run");
  log.Flush();
  EXPECT_THAT(Shown(), ElementsAre(Pair(job_.id, 10)));
}

TEST_F(ProgressLogTest, WarnsOnceWhenItsFileCannotBeWritten) {
  std::ofstream(dir_.path() / "run") << "a file where the folder should be";
  ProgressLog log(file_);
  EXPECT_THAT(log.ShownOf({job_}), IsEmpty());
  log.Note(job_.id, 1, 10);
  log.Flush();
  fs::remove(dir_.path() / "run");
  log.Note(job_.id, 1, 11);
  log.Flush();
  EXPECT_THAT(Shown(), ElementsAre(Pair(job_.id, 11)));
}

}  // namespace
}  // namespace millrace::broker
