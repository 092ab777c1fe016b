#include "broker/upkeep/janitor.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>

#include <fstream>
#include <memory>

#include "core/media/media_store.h"
#include "tests/broker/event_sequences.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/fake_clock.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

namespace fs = std::filesystem;
using std::chrono::days;
using std::chrono::hours;
using std::chrono::minutes;

class JanitorTest : public testing::Test {
 protected:
  JanitorTest() {
    clock_.SetWall(SystemClock().WallNow());
    MakeDispatcher();
  }

  void MakeDispatcher() {
    dispatcher_ = std::make_unique<Dispatcher>(DispatcherOptions(), ledger_->Load(), Clock());
  }
  Now Clock() const { return {.monotonic = clock_.Now(), .wall = clock_.WallNow()}; }

  // Runs one whole round with all its work on the file thread. Returns the number of steps.
  int RunRound() {
    clock_.Advance(minutes(1));
    const nlohmann::json rounds = janitor_.View().at("rounds");
    int steps = 0;
    while (janitor_.View().at("rounds") == rounds) {
      if (!janitor_.NextStep()) {
        AwaitFiles();
        continue;
      }
      Carry(janitor_.Step(*dispatcher_, Clock()));
      ++steps;
    }
    bool done = false;
    files_.Post([](const std::stop_token&) {}, [&done] { done = true; });
    while (!done) AwaitFiles();
    return steps;
  }

  // Carries out an outcome as the loop does.
  void Carry(const Outcome& outcome) {
    ledger_->Commit(outcome.changes);
    for (const Effect& effect : outcome.effects) {
      if (const auto* removal = std::get_if<RemoveDeadLetter>(&effect)) {
        inventory_.RemoveDeadLetter(removal->job_id);
      }
    }
  }

  void AwaitFiles() {
    pollfd ready{.fd = files_.ready_fd(), .events = POLLIN, .revents = 0};
    ASSERT_EQ(::poll(&ready, 1, 30'000), 1) << "the file thread does nothing";
    files_.RunDone();
  }

  // Adds a job to the ledger; `finished_at` is nullopt for a job that has not ended.
  Job PutJob(JobState state, std::optional<WallTime> finished_at = {}, Fence published = 0) {
    Job job = samples::SmallJob(clock_.WallNow());
    job.state = state;
    job.finished_at = finished_at;
    job.published_fence = published;
    TaskRecord task = samples::SmallTask(job);
    task.state = state == JobState::kRunning ? TaskState::kLeased : TaskState::kDone;
    if (state == JobState::kDead) task.state = TaskState::kFailed;
    task.fence = 5;
    task.manifest = ToJson(Manifest());
    EventRecord event = samples::Event(job, ++sequence_);
    event.at = finished_at.value_or(clock_.WallNow());
    std::vector<LedgerChange> changes = {InsertJob{job}, PutTask{task}, AppendEvent{event}};
    if (state == JobState::kDead) {
      changes.emplace_back(PutDeadLetter{samples::SmallLetter(job, *finished_at)});
    }
    ledger_->Commit(changes);
    task_ = task.id;
    MakeDispatcher();
    return job;
  }

  void MakeFolder(const std::string& path) {
    fs::create_directories(dir_.path() / path);
    std::ofstream(dir_.path() / path / "file") << "x";
  }
  bool Exists(const std::string& path) const { return fs::exists(dir_.path() / path); }
  std::string PutUpload() {
    const auto writer = store_->BeginUpload("a.mp4");
    writer->Write({"bytes", 5});
    return writer->Commit().id;
  }
  int64_t Removed(const std::string& kind) const { return janitor_.View()["removed"][kind]; }

  TempDir dir_;
  FakeClock clock_;
  std::unique_ptr<Ledger> ledger_ = OpenSqliteLedger(dir_.path() / "ledger.db");
  const std::unique_ptr<MediaStore> store_ =
      OpenFolderMediaStore({.data_dir = dir_.path(), .library_dir = {}});
  const MediaInventory inventory_{dir_.path()};
  FileThread files_;
  Janitor janitor_{JanitorOptions(), *ledger_, inventory_, files_};
  std::unique_ptr<Dispatcher> dispatcher_;
  std::string task_;  // of the last job added
  int64_t sequence_ = 0;
};

TEST_F(JanitorTest, RemovesWorkFoldersThatNoLeaseOwns) {
  PutJob(JobState::kRunning);
  const std::string leased = "work/" + task_ + ".5";
  const std::string earlier = "work/" + task_ + ".4";
  const std::string unknown = "work/" + NewTaskId() + ".7";
  for (const std::string& path : {leased, earlier, unknown}) MakeFolder(path);
  MakeFolder("work/probe-1.0");
  MakeFolder("work/what somebody put there");
  RunRound();
  EXPECT_TRUE(Exists(leased));
  EXPECT_FALSE(Exists(earlier));
  EXPECT_FALSE(Exists(unknown));
  EXPECT_TRUE(Exists("work/probe-1.0")) << "a probe may take a while";
  EXPECT_TRUE(Exists("work/what somebody put there"));
  EXPECT_EQ(Removed("work"), 2);
  clock_.Advance(hours(2));
  RunRound();
  EXPECT_FALSE(Exists("work/probe-1.0"));
  EXPECT_TRUE(Exists(leased));
}

TEST_F(JanitorTest, LeavesAWorkFolderThatIsYoungerThanALease) {
  const std::string folder = "work/" + NewTaskId() + ".7";
  MakeFolder(folder);
  // RunRound() advances the clock by a minute.
  clock_.SetWall(clock_.WallNow() - minutes(1));
  RunRound();
  EXPECT_TRUE(Exists(folder));
  RunRound();
  EXPECT_FALSE(Exists(folder));
}

TEST_F(JanitorTest, RemovesOutputsThatTheLedgerDoesNotName) {
  const Job published = PutJob(JobState::kSucceeded, clock_.WallNow(), 5);
  const Job cancelled = PutJob(JobState::kCancelled, clock_.WallNow());
  const Job publishing = PutJob(JobState::kPublishing);
  const std::string unknown = NewJobId();
  for (const Job& job : {published, cancelled, publishing}) {
    MakeFolder("outputs/" + job.id + "/5");
    MakeFolder("outputs/" + job.id + "/4");
  }
  MakeFolder("outputs/" + unknown + "/1");
  RunRound();
  EXPECT_TRUE(Exists("outputs/" + published.id + "/5"));
  EXPECT_FALSE(Exists("outputs/" + published.id + "/4"));
  EXPECT_FALSE(Exists("outputs/" + cancelled.id));
  EXPECT_TRUE(Exists("outputs/" + publishing.id + "/5"));
  EXPECT_FALSE(Exists("outputs/" + unknown));
  EXPECT_EQ(Removed("outputs"), 4);
}

TEST_F(JanitorTest, RemovesDeadLetterFoldersWhoseJobIsNotDead) {
  const Job dead = PutJob(JobState::kDead, clock_.WallNow());
  const Job succeeded = PutJob(JobState::kSucceeded, clock_.WallNow(), 5);
  const Job redriven = PutJob(JobState::kRunning);
  const Job purged = PutJob(JobState::kDead, clock_.WallNow());
  DeadLetterRecord letter = samples::SmallLetter(purged, clock_.WallNow());
  letter.state = DeadLetterRecord::State::kPurged;
  letter.closed_at = clock_.WallNow();
  ledger_->Commit({PutDeadLetter{letter}});
  const std::string unknown = NewJobId();
  for (const std::string& job : {dead.id, succeeded.id, redriven.id, purged.id, unknown}) {
    MakeFolder("dead-letter/" + job);
  }
  RunRound();
  EXPECT_TRUE(Exists("dead-letter/" + dead.id));
  EXPECT_TRUE(Exists("dead-letter/" + redriven.id));
  EXPECT_FALSE(Exists("dead-letter/" + succeeded.id));
  EXPECT_FALSE(Exists("dead-letter/" + purged.id));
  EXPECT_FALSE(Exists("dead-letter/" + unknown));
}

TEST_F(JanitorTest, RemovesUploadsThatNobodyUsedInTime) {
  const Job job = PutJob(JobState::kSucceeded, clock_.WallNow());
  const std::string unused = PutUpload();
  MakeFolder("uploads/" + job.request.input.upload);
  RunRound();
  EXPECT_TRUE(store_->FindUpload(unused).has_value()) << "it is young";
  clock_.Advance(days(2));
  for (int i = 0; i < 60; ++i) RunRound();
  EXPECT_FALSE(Exists("uploads/" + unused));
  EXPECT_TRUE(Exists("uploads/" + job.request.input.upload));
  EXPECT_EQ(Removed("uploads"), 1);
  EXPECT_TRUE(janitor_.HasJustRemoved(unused));
  EXPECT_FALSE(janitor_.HasJustRemoved(job.request.input.upload));
}

TEST_F(JanitorTest, RemovesAFinishedJobWithItsOutputs) {
  const Job old = PutJob(JobState::kSucceeded, clock_.WallNow() - days(8), 5);
  const Job young = PutJob(JobState::kCancelled, clock_.WallNow() - days(6));
  const Job running = PutJob(JobState::kRunning);
  MakeFolder("outputs/" + old.id + "/5");
  RunRound();
  EXPECT_EQ(ledger_->FindJob(old.id).has_value(), false);
  EXPECT_FALSE(Exists("outputs/" + old.id));
  EXPECT_TRUE(ledger_->FindJob(young.id).has_value());
  EXPECT_TRUE(ledger_->FindJob(running.id).has_value());
  EXPECT_EQ(Removed("jobs"), 1);
}

TEST_F(JanitorTest, KeepsTheTombstoneOfALetterThatHasExpired) {
  const Job dead = PutJob(JobState::kDead, clock_.WallNow());
  MakeFolder("dead-letter/" + dead.id);
  clock_.Advance(days(29));
  RunRound();
  EXPECT_TRUE(Exists("dead-letter/" + dead.id));
  clock_.Advance(days(2));
  RunRound();
  EXPECT_FALSE(Exists("dead-letter/" + dead.id));
  ASSERT_TRUE(ledger_->FindDeadLetter(dead.id).has_value());
  EXPECT_EQ(ledger_->FindDeadLetter(dead.id)->state, DeadLetterRecord::State::kExpired);
  clock_.Advance(days(28));
  RunRound();
  EXPECT_TRUE(ledger_->FindJob(dead.id).has_value());
  clock_.Advance(days(3));
  RunRound();
  EXPECT_FALSE(ledger_->FindJob(dead.id).has_value());
  EXPECT_FALSE(ledger_->FindDeadLetter(dead.id).has_value());
}

TEST_F(JanitorTest, RemovesEventsOfJobsThatAreGone) {
  PutJob(JobState::kSucceeded, clock_.WallNow() - days(8), 5);
  const Job there = PutJob(JobState::kSucceeded, clock_.WallNow() - days(6), 5);
  RunRound();
  EXPECT_EQ(EventSequences(dir_.path() / "ledger.db").size(), 1U);
  EXPECT_EQ(ledger_->EventsOf(there.id, 0, 10).size(), 1U);
  EXPECT_EQ(Removed("events"), 1);
}

TEST_F(JanitorTest, ForgetsRedrivesAndPurgesOfManyAfterAWhile) {
  RedriveRecord redrive;
  redrive.id = NewId("rdr_");
  redrive.state = RedriveRecord::State::kReleased;
  redrive.created_at = clock_.WallNow();
  ledger_->Commit(
      {PutRedrive{redrive}, PutPurge{{.id = "one", .count = 1, .created_at = clock_.WallNow()}}});
  clock_.Advance(days(6));
  RunRound();
  EXPECT_TRUE(ledger_->FindRedrive(redrive.id).has_value());
  EXPECT_TRUE(ledger_->FindPurge("one").has_value());
  clock_.Advance(days(2));
  RunRound();
  EXPECT_FALSE(ledger_->FindRedrive(redrive.id).has_value());
  EXPECT_FALSE(ledger_->FindPurge("one").has_value());
  EXPECT_EQ(Removed("requests"), 2);
}

TEST_F(JanitorTest, IsDoneInSmallSteps) {
  for (int i = 0; i < 220; ++i) MakeFolder("work/" + NewTaskId() + ".7");
  EXPECT_GE(RunRound(), 5);
  EXPECT_EQ(Removed("work"), 220);
  EXPECT_TRUE(fs::is_empty(dir_.path() / "work"));
}

TEST_F(JanitorTest, KeepsForEverWhatIsNotToExpire) {
  Janitor patient({.keep_finished = {}, .keep_dead = {}, .keep_uploads = {}, .keep_events = {}},
                  *ledger_, inventory_, files_);
  const Job old = PutJob(JobState::kSucceeded, clock_.WallNow() - days(8'000), 5);
  const Job dead = PutJob(JobState::kDead, clock_.WallNow() - days(8'000));
  MakeFolder("dead-letter/" + dead.id);
  const std::string upload = PutUpload();
  ledger_->Commit({PutPurge{{.id = "one", .count = 1, .created_at = clock_.WallNow()}}});
  clock_.Advance(days(8'000));
  while (patient.View().at("rounds") == 0) {
    if (!patient.NextStep()) AwaitFiles();
    Carry(patient.Step(*dispatcher_, Clock()));
  }
  EXPECT_TRUE(ledger_->FindJob(old.id).has_value());
  EXPECT_TRUE(Exists("dead-letter/" + dead.id));
  EXPECT_TRUE(store_->FindUpload(upload).has_value());
  EXPECT_EQ(EventSequences(dir_.path() / "ledger.db").size(), 2U);
  EXPECT_TRUE(ledger_->FindPurge("one").has_value());
}

}  // namespace
}  // namespace millrace::broker
