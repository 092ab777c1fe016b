#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>

#include "broker/ledger/ledger.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

using samples::At;
using samples::Show;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

class SqliteLedgerTest : public testing::Test {
 protected:
  void Reopen() {
    ledger_.reset();
    ledger_ = OpenSqliteLedger(file_);
  }

  TempDir dir_;
  const std::filesystem::path file_ = dir_.path() / "ledger.db";
  std::unique_ptr<Ledger> ledger_ = OpenSqliteLedger(file_);
};

std::vector<std::string> IdsOf(const std::vector<Job>& jobs) {
  std::vector<std::string> ids;
  for (const Job& job : jobs) ids.push_back(job.id);
  return ids;
}

TEST_F(SqliteLedgerTest, IsEmptyWhenNew) {
  const Snapshot snapshot = ledger_->Load();
  EXPECT_THAT(snapshot.jobs, IsEmpty());
  EXPECT_EQ(snapshot.last_fence, 0);
  EXPECT_EQ(snapshot.last_sequence, 0);
  EXPECT_EQ(ledger_->FindJob(NewJobId()), std::nullopt);
}

TEST_F(SqliteLedgerTest, KeepsEveryFieldOfEveryRecordOverAReopening) {
  const Job job = samples::FullJob();
  const TaskRecord task = samples::FullTask(job);
  const Attempt attempt = samples::FullAttempt(task, job.generation);
  const EventRecord event = samples::Event(job, 1);
  ledger_->Commit({InsertJob{job}, PutTask{task}, PutAttempt{attempt}, AppendEvent{event}});
  Reopen();

  const Snapshot snapshot = ledger_->Load();
  ASSERT_THAT(snapshot.jobs, SizeIs(1));
  EXPECT_EQ(Show(snapshot.jobs[0]), Show(job));
  ASSERT_THAT(snapshot.tasks, SizeIs(1));
  EXPECT_EQ(Show(snapshot.tasks[0]), Show(task));
  ASSERT_THAT(snapshot.attempts, SizeIs(1));
  EXPECT_EQ(Show(snapshot.attempts[0]), Show(attempt));
  EXPECT_EQ(snapshot.last_fence, 8);
  EXPECT_EQ(snapshot.last_sequence, 1);
  const auto events = ledger_->EventsOf(job.id, 0, 10);
  ASSERT_THAT(events, SizeIs(1));
  EXPECT_EQ(Show(events[0]), Show(event));
  EXPECT_EQ(Show(ledger_->FindJob(job.id).value()), Show(job));
}

TEST_F(SqliteLedgerTest, KeepsRecordsWhoseOptionalFieldsAreEmpty) {
  Job job = samples::SmallJob();
  job.input_facts = nullptr;
  const TaskRecord task = samples::SmallTask(job);
  ledger_->Commit({InsertJob{job}, PutTask{task}});
  EXPECT_EQ(Show(ledger_->FindJob(job.id).value()), Show(job));
  EXPECT_EQ(Show(ledger_->Load().tasks.at(0)), Show(task));
}

TEST_F(SqliteLedgerTest, PutReplacesEverythingButTheRequestOfAJob) {
  const Job inserted = samples::SmallJob();
  ledger_->Commit({InsertJob{inserted}});
  Job put = samples::FullJob();
  put.id = inserted.id;
  ledger_->Commit({PutJob{put}});

  Job expected = put;
  expected.request = inserted.request;
  expected.input_facts = inserted.input_facts;
  expected.created_at = inserted.created_at;
  expected.idempotency_key = inserted.idempotency_key;
  expected.request_fingerprint = inserted.request_fingerprint;
  EXPECT_EQ(Show(ledger_->FindJob(inserted.id).value()), Show(expected));
}

TEST_F(SqliteLedgerTest, ReplacesTheRequestOfARedrivenJob) {
  const Job inserted = samples::FullJob();
  ledger_->Commit({InsertJob{inserted}});
  Job expected = inserted;
  expected.request.spec.clip.reset();
  expected.request.input.upload = NewUploadId();
  ledger_->Commit({ReplaceRequest{.job_id = inserted.id, .request = expected.request}});
  EXPECT_EQ(Show(ledger_->FindJob(inserted.id).value()), Show(expected));
  EXPECT_FALSE(ledger_->IsUploadNamed(inserted.request.input.upload));
  EXPECT_TRUE(ledger_->IsUploadNamed(expected.request.input.upload));
}

TEST_F(SqliteLedgerTest, FindsAJobByItsIdempotencyKeyWhateverItsState) {
  Job keyed = samples::FullJob();
  keyed.state = JobState::kCancelled;
  ledger_->Commit({InsertJob{keyed}, InsertJob{samples::SmallJob()}});
  Reopen();
  EXPECT_EQ(Show(ledger_->FindJobByKey(keyed.idempotency_key).value()), Show(keyed));
  EXPECT_EQ(ledger_->FindJobByKey("other"), std::nullopt);
  // Many jobs have no key; an empty key must find none of them.
  EXPECT_EQ(ledger_->FindJobByKey(""), std::nullopt);
}

TEST_F(SqliteLedgerTest, HandsOutTheTasksOfAnEndedJob) {
  Job job = samples::SmallJob();
  job.state = JobState::kDead;
  TaskRecord one = samples::FullTask(job);
  one.state = TaskState::kFailed;
  const TaskRecord two = samples::SmallTask(job);
  const Job other = samples::SmallJob();
  ledger_->Commit({InsertJob{job}, InsertJob{other}, PutTask{two}, PutTask{one},
                   PutTask{samples::SmallTask(other)}});
  const auto tasks = ledger_->TasksOf(job.id);
  ASSERT_THAT(tasks, SizeIs(2));
  EXPECT_EQ(Show(tasks[0]), Show(one));
  EXPECT_EQ(Show(tasks[1]), Show(two));
  EXPECT_THAT(ledger_->TasksOf(NewJobId()), IsEmpty());
}

TEST_F(SqliteLedgerTest, HandsOutTheTasksOfTheLastPlanOnlyAndTheAttemptsOfAll) {
  Job job = samples::SmallJob();
  TaskRecord replaced = samples::SmallTask(job);
  ledger_->Commit(
      {InsertJob{job}, PutTask{replaced}, PutAttempt{samples::SmallAttempt(replaced, 3)}});
  job.generation = 2;
  const TaskRecord planned = samples::SmallTask(job);
  ledger_->Commit({PutJob{job}, PutTask{planned}});
  ASSERT_THAT(ledger_->TasksOf(job.id), SizeIs(1));
  EXPECT_EQ(ledger_->TasksOf(job.id)[0].id, planned.id);
  ASSERT_THAT(ledger_->Load().tasks, SizeIs(1));
  EXPECT_EQ(ledger_->Load().tasks[0].id, planned.id);
  EXPECT_THAT(ledger_->AttemptsOf(job.id), SizeIs(1));
}

TEST_F(SqliteLedgerTest, KeepsRedrivesAndLoadsThoseThatWait) {
  const RedriveRecord redrive = samples::FullRedrive(samples::SmallJob());
  RedriveRecord released = samples::FullRedrive(samples::SmallJob());
  ledger_->Commit({PutRedrive{redrive}, PutRedrive{released}});
  released.state = RedriveRecord::State::kReleased;
  released.waiting.clear();
  released.patch = nullptr;
  ledger_->Commit({PutRedrive{released}});
  Reopen();
  EXPECT_EQ(Show(ledger_->FindRedrive(redrive.id).value()), Show(redrive));
  EXPECT_EQ(Show(ledger_->FindRedrive(released.id).value()), Show(released));
  EXPECT_EQ(ledger_->FindRedrive("rdr_none"), std::nullopt);
  const Snapshot snapshot = ledger_->Load();
  ASSERT_THAT(snapshot.redrives, SizeIs(1));
  EXPECT_EQ(Show(snapshot.redrives[0]), Show(redrive));
}

TEST_F(SqliteLedgerTest, KeepsPurges) {
  ledger_->Commit({PutPurge{{.id = "one", .count = 12, .created_at = samples::At(7)}}});
  Reopen();
  const std::optional<PurgeRecord> purge = ledger_->FindPurge("one");
  ASSERT_TRUE(purge.has_value());
  EXPECT_EQ(purge->id, "one");
  EXPECT_EQ(purge->count, 12);
  EXPECT_EQ(purge->created_at, samples::At(7));
  EXPECT_FALSE(ledger_->FindPurge("two").has_value());
}

TEST_F(SqliteLedgerTest, PutReplacesTasksAndAttempts) {
  const Job job = samples::SmallJob();
  TaskRecord task = samples::SmallTask(job);
  Attempt attempt = samples::SmallAttempt(task, 8);
  ledger_->Commit({InsertJob{job}, PutTask{task}, PutAttempt{attempt}});
  TaskRecord later = samples::FullTask(job);
  later.id = task.id;
  TaskRecord stored = later;
  // The plan has not changed.
  stored.kind = task.kind;
  stored.spec = task.spec;
  stored.input = task.input;
  stored.dependencies = task.dependencies;
  Attempt ended = samples::FullAttempt(later, 1);
  ledger_->Commit({PutTask{later}, PutAttempt{ended}});

  const Snapshot snapshot = ledger_->Load();
  ASSERT_THAT(snapshot.tasks, SizeIs(1));
  EXPECT_EQ(Show(snapshot.tasks[0]), Show(stored));
  ASSERT_THAT(snapshot.attempts, SizeIs(1));
  EXPECT_EQ(Show(snapshot.attempts[0]), Show(ended));
}

TEST_F(SqliteLedgerTest, LoadsWhatHasNotEndedOldestFirst) {
  std::vector<LedgerChange> changes;
  std::vector<std::string> open;
  for (int i = 0; i <= static_cast<int>(JobState::kDead); ++i) {
    // Make later states older, so that the order of insertion is not the order of the list.
    Job job = samples::SmallJob(At(100 - i));
    job.state = static_cast<JobState>(i);
    if (!IsTerminal(job.state)) open.insert(open.begin(), job.id);
    TaskRecord task = samples::SmallTask(job);
    changes.emplace_back(InsertJob{job});
    changes.emplace_back(PutTask{task});
    changes.emplace_back(PutAttempt{samples::SmallAttempt(task, i + 1)});
  }
  ledger_->Commit(changes);

  const Snapshot snapshot = ledger_->Load();
  EXPECT_EQ(IdsOf(snapshot.jobs), open);
  EXPECT_THAT(snapshot.tasks, SizeIs(open.size()));
  EXPECT_THAT(snapshot.attempts, SizeIs(open.size()));
}

TEST_F(SqliteLedgerTest, LoadsAttemptsOfTheCurrentGenerationOnlyAndShowsAll) {
  Job job = samples::SmallJob();
  job.generation = 2;
  const TaskRecord task = samples::SmallTask(job);
  Attempt old = samples::SmallAttempt(task, 3, 5);
  Attempt current = samples::SmallAttempt(task, 7, 1);
  current.generation = 2;
  ledger_->Commit({InsertJob{job}, PutTask{task}, PutAttempt{current}, PutAttempt{old}});

  const Snapshot snapshot = ledger_->Load();
  ASSERT_THAT(snapshot.attempts, SizeIs(1));
  EXPECT_EQ(snapshot.attempts[0].fence, 7);
  const auto all = ledger_->AttemptsOf(job.id);
  ASSERT_THAT(all, SizeIs(2));
  EXPECT_EQ(all[0].fence, 3);
  EXPECT_EQ(all[1].fence, 7);
  EXPECT_EQ(ledger_->LastAttemptNumber(job.id, 1), 5);
  EXPECT_EQ(ledger_->LastAttemptNumber(job.id, 2), 1);
  EXPECT_EQ(ledger_->LastAttemptNumber(job.id, 3), 0);
}

TEST_F(SqliteLedgerTest, FenceAndSequenceNeverGoBack) {
  const Job job = samples::SmallJob();
  const TaskRecord task = samples::SmallTask(job);
  ledger_->Commit({InsertJob{job}, PutTask{task}, PutAttempt{samples::SmallAttempt(task, 70)},
                   AppendEvent{samples::Event(job, 30)}});
  ledger_->Commit({PutAttempt{samples::SmallAttempt(task, 5)}});
  Reopen();
  const Snapshot snapshot = ledger_->Load();
  EXPECT_EQ(snapshot.last_fence, 70);
  EXPECT_EQ(snapshot.last_sequence, 30);
}

TEST_F(SqliteLedgerTest, ReadsTheEventsOfOneJobInPiecesInOrder) {
  const Job one = samples::SmallJob();
  const Job other = samples::SmallJob();
  ledger_->Commit({InsertJob{one}, InsertJob{other}, AppendEvent{samples::Event(one, 1)},
                   AppendEvent{samples::Event(other, 2)}, AppendEvent{samples::Event(other, 3)},
                   AppendEvent{samples::Event(one, 4)}, AppendEvent{samples::Event(one, 5)}});
  const auto sequences = [&](const Job& job, int64_t after, size_t limit) {
    std::vector<int64_t> found;
    for (const EventRecord& event : ledger_->EventsOf(job.id, after, limit)) {
      EXPECT_EQ(event.job_id, job.id);
      found.push_back(event.sequence);
    }
    return found;
  };
  EXPECT_THAT(sequences(one, 0, 2), ElementsAre(1, 4));
  EXPECT_THAT(sequences(one, 4, 2), ElementsAre(5));
  EXPECT_THAT(sequences(one, 5, 2), IsEmpty());
  EXPECT_THAT(sequences(other, 0, 10), ElementsAre(2, 3));
  EXPECT_THAT(ledger_->EventsOf(NewJobId(), 0, 10), IsEmpty());
}

TEST_F(SqliteLedgerTest, KeepsTextThatIsNotUtf8Readable) {
  Job job = samples::SmallJob();
  job.error = {{"code", "internal"}, {"detail", "bytes \xff\xfe"}};
  ledger_->Commit({InsertJob{job}});
  EXPECT_THAT(ledger_->FindJob(job.id)->error["detail"].get<std::string>(),
              testing::StartsWith("bytes "));
}

// Tests that a batch with one impossible change leaves no trace.
class ImpossibleChangeTest : public SqliteLedgerTest {
 protected:
  void ExpectRefused(const LedgerChange& impossible) {
    const Job innocent = samples::SmallJob();
    try {
      ledger_->Commit({InsertJob{innocent}, impossible});
      ADD_FAILURE() << "was committed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInternal) << error.what();
    }
    EXPECT_EQ(ledger_->FindJob(innocent.id), std::nullopt);
    // The ledger still works.
    ledger_->Commit({InsertJob{innocent}});
    EXPECT_NE(ledger_->FindJob(innocent.id), std::nullopt);
  }
};

TEST_F(ImpossibleChangeTest, JobInsertedTwice) {
  const Job job = samples::SmallJob();
  ledger_->Commit({InsertJob{job}});
  ExpectRefused(InsertJob{job});
}

TEST_F(ImpossibleChangeTest, PutOfAJobThatIsNotThere) {
  ExpectRefused(PutJob{samples::SmallJob()});
}

TEST_F(ImpossibleChangeTest, RequestOfAJobThatIsNotThere) {
  ExpectRefused(ReplaceRequest{.job_id = NewJobId(), .request = samples::SmallJob().request});
}

TEST_F(ImpossibleChangeTest, IdempotencyKeyUsedTwice) {
  const Job job = samples::FullJob();
  ledger_->Commit({InsertJob{job}});
  Job other = samples::SmallJob();
  other.idempotency_key = job.idempotency_key;
  ExpectRefused(InsertJob{other});
}

TEST_F(ImpossibleChangeTest, DeadLetterWithoutAJob) {
  ExpectRefused(PutDeadLetter{samples::SmallLetter(samples::SmallJob())});
}

TEST_F(ImpossibleChangeTest, RemovalOfAJobThatHasNotEnded) {
  const Job job = samples::SmallJob();
  ledger_->Commit({InsertJob{job}});
  ExpectRefused(RemoveJob{job.id});
}

TEST_F(ImpossibleChangeTest, RemovalOfAJobThatIsNotThere) { ExpectRefused(RemoveJob{NewJobId()}); }

TEST_F(ImpossibleChangeTest, TaskWithoutAJob) {
  ExpectRefused(PutTask{samples::SmallTask(samples::SmallJob())});
}

TEST_F(ImpossibleChangeTest, FenceGivenToTwoTasks) {
  const Job job = samples::SmallJob();
  const TaskRecord one = samples::SmallTask(job);
  const TaskRecord two = samples::SmallTask(job);
  ledger_->Commit(
      {InsertJob{job}, PutTask{one}, PutTask{two}, PutAttempt{samples::SmallAttempt(one, 1)}});
  ExpectRefused(PutAttempt{samples::SmallAttempt(two, 1)});
}

TEST_F(ImpossibleChangeTest, EventNumberUsedTwice) {
  const Job job = samples::SmallJob();
  ledger_->Commit({InsertJob{job}, AppendEvent{samples::Event(job, 1)}});
  ExpectRefused(AppendEvent{samples::Event(job, 1)});
}

}  // namespace
}  // namespace millrace::broker
