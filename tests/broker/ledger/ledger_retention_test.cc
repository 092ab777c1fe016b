#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "broker/ledger/ledger.h"
#include "tests/broker/event_sequences.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

using samples::At;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class LedgerRetentionTest : public testing::Test {
 protected:
  // Commits a job that ended `end` microseconds after the samples' start, with a row of every kind.
  Job CommitEndedJob(JobState state, int64_t end) {
    Job job = samples::FullJob();
    job.state = state;
    job.finished_at = At(end);
    TaskRecord task = samples::FullTask(job);
    Attempt attempt = samples::SmallAttempt(task, ++fence_);
    RedriveRecord redrive = samples::FullRedrive(job);
    redrive.state = RedriveRecord::State::kStopped;
    redrives_.push_back(redrive.id);
    std::vector<LedgerChange> changes = {InsertJob{job}, PutTask{task}, PutAttempt{attempt},
                                         PutRedrive{redrive}};
    if (state == JobState::kDead) {
      changes.emplace_back(PutDeadLetter{samples::SmallLetter(job, At(end))});
    }
    for (const int64_t at : {end - 1, end}) {
      EventRecord event = samples::Event(job, ++sequence_);
      event.at = At(at);
      changes.emplace_back(AppendEvent{event});
    }
    ledger_->Commit(changes);
    return job;
  }

  std::vector<int64_t> SequencesLeft() { return EventSequences(file_); }

  int64_t CountRows(const std::string& table) {
    SQLite::Database database(file_, SQLite::OPEN_READONLY);
    return database.execAndGet("SELECT count(*) FROM " + table).getInt64();
  }

  // Returns the numbers of the removed events, as ranges.
  std::vector<std::pair<int64_t, int64_t>> RemovedRanges() {
    SQLite::Database database(file_, SQLite::OPEN_READONLY);
    SQLite::Statement query(database, "SELECT first, last FROM removed_events ORDER BY first");
    std::vector<std::pair<int64_t, int64_t>> ranges;
    while (query.executeStep()) {
      ranges.emplace_back(query.getColumn(0).getInt64(), query.getColumn(1).getInt64());
    }
    return ranges;
  }

  TempDir dir_;
  const std::filesystem::path file_ = dir_.path() / "ledger.db";
  std::unique_ptr<Ledger> ledger_ = OpenSqliteLedger(file_);
  std::vector<std::string> redrives_;
  Fence fence_ = 0;
  int64_t sequence_ = 0;
};

TEST_F(LedgerRetentionTest, FindsWhatEndedBeforeATimeTheOldestFirst) {
  const Job late = CommitEndedJob(JobState::kSucceeded, 300);
  const Job early = CommitEndedJob(JobState::kCancelled, 100);
  const Job middle = CommitEndedJob(JobState::kSucceeded, 200);
  const Job dead = CommitEndedJob(JobState::kDead, 50);
  ledger_->Commit({InsertJob{samples::SmallJob()}});
  const std::vector<JobState> good = {JobState::kSucceeded, JobState::kCancelled};
  EXPECT_THAT(ledger_->EndedBefore(good, At(301), 10), ElementsAre(early.id, middle.id, late.id));
  EXPECT_THAT(ledger_->EndedBefore(good, At(300), 10), ElementsAre(early.id, middle.id));
  EXPECT_THAT(ledger_->EndedBefore(good, At(301), 1), ElementsAre(early.id));
  EXPECT_THAT(ledger_->EndedBefore({JobState::kDead}, At(301), 10), ElementsAre(dead.id));
  EXPECT_THAT(ledger_->EndedBefore({}, At(301), 10), IsEmpty());
}

TEST_F(LedgerRetentionTest, FindsOpenLettersThatAreOld) {
  const Job old = CommitEndedJob(JobState::kDead, 100);
  const Job older = CommitEndedJob(JobState::kDead, 50);
  const Job purged = CommitEndedJob(JobState::kDead, 40);
  CommitEndedJob(JobState::kDead, 200);
  DeadLetterRecord closed = samples::SmallLetter(purged, At(40));
  closed.state = DeadLetterRecord::State::kPurged;
  ledger_->Commit({PutDeadLetter{closed}});
  const auto letters = ledger_->LettersDiedBefore(At(200), 10);
  ASSERT_THAT(letters, SizeIs(2));
  EXPECT_EQ(letters[0].job_id, older.id);
  EXPECT_EQ(letters[1].job_id, old.id);
  EXPECT_THAT(ledger_->LettersDiedBefore(At(200), 1), SizeIs(1));
}

TEST_F(LedgerRetentionTest, KnowsWhichUploadsAreNamed) {
  const Job ended = CommitEndedJob(JobState::kSucceeded, 100);
  const Job open = samples::SmallJob();
  Job by_path = samples::SmallJob();
  by_path.request.input = {.upload = "", .path = "films/one.mov"};
  ledger_->Commit({InsertJob{open}, InsertJob{by_path}});
  EXPECT_TRUE(ledger_->IsUploadNamed(ended.request.input.upload));
  EXPECT_TRUE(ledger_->IsUploadNamed(open.request.input.upload));
  EXPECT_FALSE(ledger_->IsUploadNamed(NewUploadId()));
  EXPECT_FALSE(ledger_->IsUploadNamed(""));
}

TEST_F(LedgerRetentionTest, TellsHowAJobStands) {
  const Job job = CommitEndedJob(JobState::kSucceeded, 100);
  const std::optional<JobStanding> standing = ledger_->FindStanding(job.id);
  ASSERT_TRUE(standing.has_value());
  EXPECT_EQ(standing->state, JobState::kSucceeded);
  EXPECT_EQ(standing->generation, job.generation);
  EXPECT_EQ(standing->published_fence, job.published_fence);
  EXPECT_FALSE(ledger_->FindStanding(NewJobId()).has_value());
}

TEST_F(LedgerRetentionTest, RemovesAJobWithAllThatBelongsToItButItsEvents) {
  const Job gone = CommitEndedJob(JobState::kDead, 100);
  const Job stays = CommitEndedJob(JobState::kDead, 100);
  ledger_->Commit({RemoveJob{gone.id}});
  EXPECT_EQ(ledger_->FindJob(gone.id), std::nullopt);
  EXPECT_EQ(ledger_->FindJobByKey(gone.idempotency_key), std::nullopt);
  EXPECT_EQ(ledger_->FindDeadLetter(gone.id), std::nullopt);
  EXPECT_EQ(ledger_->FindRedrive(redrives_[0]), std::nullopt);
  EXPECT_FALSE(ledger_->IsUploadNamed(gone.request.input.upload));
  for (const char* table : {"jobs", "tasks", "attempts", "dead_letters", "redrives"}) {
    EXPECT_EQ(CountRows(table), 1) << table;
  }
  EXPECT_EQ(CountRows("job_labels"), static_cast<int64_t>(stays.request.labels.size()));
  EXPECT_THAT(SequencesLeft(), ElementsAre(1, 2, 3, 4));
  EXPECT_NE(ledger_->FindJob(stays.id), std::nullopt);
}

TEST_F(LedgerRetentionTest, PrunesEventsOfRemovedJobsOnceTheyAreOld) {
  const Job gone = CommitEndedJob(JobState::kSucceeded, 100);
  CommitEndedJob(JobState::kSucceeded, 100);
  ledger_->Commit({RemoveJob{gone.id}});
  EXPECT_EQ(ledger_->PruneEvents(At(100), 10), 0U);
  EXPECT_THAT(SequencesLeft(), ElementsAre(1, 2, 3, 4));
  EXPECT_EQ(ledger_->PruneEvents(At(101), 10), 2U);
  EXPECT_THAT(SequencesLeft(), ElementsAre(3, 4));
  EXPECT_THAT(RemovedRanges(), ElementsAre(std::pair(1, 2)));
  EXPECT_EQ(ledger_->PruneEvents(At(101), 10), 0U);
  EXPECT_EQ(ledger_->Load().last_sequence, 4);
}

TEST_F(LedgerRetentionTest, PrunesInStepsTheOldestFirst) {
  const Job late = CommitEndedJob(JobState::kSucceeded, 200);
  const Job early = CommitEndedJob(JobState::kSucceeded, 100);
  ledger_->Commit({RemoveJob{late.id}, RemoveJob{early.id}});
  EXPECT_EQ(ledger_->PruneEvents(At(1000), 1), 2U);
  EXPECT_THAT(SequencesLeft(), ElementsAre(1, 2));
  EXPECT_EQ(ledger_->PruneEvents(At(1000), 1), 2U);
  EXPECT_THAT(SequencesLeft(), IsEmpty());
}

TEST_F(LedgerRetentionTest, KeepsTheNumbersOfPrunedEventsInRangesThatDoNotTouch) {
  std::vector<Job> jobs;
  for (int i = 0; i < 5; ++i) jobs.push_back(CommitEndedJob(JobState::kSucceeded, 100 + i));
  const auto prune = [&](size_t i) {
    ledger_->Commit({RemoveJob{jobs[i].id}});
    ledger_->PruneEvents(At(1000), 10);
  };
  prune(3);
  EXPECT_THAT(RemovedRanges(), ElementsAre(std::pair(7, 8)));
  prune(0);
  EXPECT_THAT(RemovedRanges(), ElementsAre(std::pair(1, 2), std::pair(7, 8)));
  prune(2);
  EXPECT_THAT(RemovedRanges(), ElementsAre(std::pair(1, 2), std::pair(5, 8)));
  prune(1);
  EXPECT_THAT(RemovedRanges(), ElementsAre(std::pair(1, 8)));
  prune(4);
  EXPECT_THAT(RemovedRanges(), ElementsAre(std::pair(1, 10)));
}

TEST_F(LedgerRetentionTest, LeavesTheEventsOfAJobThatTookTheIdOfARemovedOne) {
  const Job gone = CommitEndedJob(JobState::kSucceeded, 100);
  ledger_->Commit({RemoveJob{gone.id}});
  ledger_->Commit({InsertJob{gone}, AppendEvent{samples::Event(gone, 3)}});
  EXPECT_EQ(ledger_->PruneEvents(At(1000), 10), 2U);
  EXPECT_THAT(SequencesLeft(), ElementsAre(3));
}

TEST_F(LedgerRetentionTest, RemovesRequestsThatAreOldAndWaitForNothing) {
  const auto put = [&](RedriveRecord::State state, int64_t at, std::string canary) {
    RedriveRecord redrive;
    redrive.id = NewId("rdr_");
    redrive.state = state;
    redrive.created_at = At(at);
    redrive.canary = std::move(canary);
    ledger_->Commit({PutRedrive{redrive}});
    return redrive.id;
  };
  using State = RedriveRecord::State;
  const std::string waits = put(State::kWaiting, 10, NewJobId());
  const std::string stopped = put(State::kStopped, 20, NewJobId());
  const std::string released = put(State::kReleased, 30, "");
  const std::string young = put(State::kReleased, 100, "");
  ledger_->Commit({PutPurge{{.id = "old", .count = 1, .created_at = At(40)}},
                   PutPurge{{.id = "young", .count = 1, .created_at = At(100)}}});
  EXPECT_EQ(ledger_->PruneRequests(At(100), 1), 2U);
  EXPECT_FALSE(ledger_->FindRedrive(stopped).has_value());
  EXPECT_FALSE(ledger_->FindPurge("old").has_value());
  EXPECT_TRUE(ledger_->FindRedrive(released).has_value());
  EXPECT_EQ(ledger_->PruneRequests(At(100), 10), 1U);
  EXPECT_FALSE(ledger_->FindRedrive(released).has_value());
  EXPECT_EQ(ledger_->PruneRequests(At(100), 10), 0U);
  EXPECT_TRUE(ledger_->FindRedrive(waits).has_value());
  EXPECT_TRUE(ledger_->FindRedrive(young).has_value());
  EXPECT_TRUE(ledger_->FindPurge("young").has_value());
}

}  // namespace
}  // namespace millrace::broker
