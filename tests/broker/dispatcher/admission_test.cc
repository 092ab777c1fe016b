#include <gmock/gmock.h>

#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

using testing::IsEmpty;
using testing::SizeIs;

constexpr int64_t kGiB = int64_t{1} << 30;

class AdmissionTest : public DispatcherTest {
 protected:
  // A job that has ended as poison, of this input.
  std::string Poison(const std::string& sha256) {
    Register("host/1");
    const std::string id = Submit({.sha256 = sha256});
    for (int crash = 0; crash < 3; ++crash) {
      FailJob(id, ErrorCode::kEncoderCrashed);
      Advance(10s);
      BeatAll("host/1");
    }
    Buried(id);
    EXPECT_EQ(books.letter(id).code, "poison");
    return id;
  }
};

TEST_F(AdmissionTest, AnswersASubmissionUnderAKnownKeyWithItsJob) {
  const std::string id = Submit({.key = "k"});
  EXPECT_EQ(books.job(id).idempotency_key, "k");
  EXPECT_EQ(books.job(id).request_fingerprint, "f1");
  EXPECT_EQ(dispatcher->FindByKey("k")->id, id);
  // The client has made up another id, and comes late, to a broker that is shutting down.
  json again = SubmitBody({.id = NewJobId(), .key = "k"});
  again["deadline_unix_ms"] = UnixMillis() - 1;
  dispatcher->StartDraining();
  Client("submit", again);
  EXPECT_EQ(Reply().body["job"]["id"], id);
  EXPECT_THAT(books.jobs(), SizeIs(1));
}

TEST_F(AdmissionTest, RefusesAKeyThatWasUsedForAnotherRequest) {
  const std::string id = Submit({.key = "k", .fingerprint = "f1"});
  Submit({.key = "k", .fingerprint = "f2"});
  EXPECT_EQ(ReplyCode(), "idempotency_conflict");
  EXPECT_EQ(Reply().body["context"]["job"], id);
  EXPECT_THAT(books.jobs(), SizeIs(1));
  EXPECT_EQ(State(Submit({.key = "other"})), JobState::kQueued);
  EXPECT_EQ(State(Submit()), JobState::kQueued);
}

TEST_F(AdmissionTest, AnswersASubmissionThatRepeatsOneWhoseJobHasEnded) {
  const std::string id = Submit({.key = "k"});
  Cancel(id);
  ASSERT_EQ(State(id), JobState::kCancelled);
  const EndedJob ended{.job = books.job(id), .last_attempt = 0};
  const auto again = [&](const Submission& submission) {
    Do(dispatcher->OnSubmit(to, message::Read<message::Submit>(SubmitBody(submission)), ended,
                            now()));
  };
  again({.id = NewJobId(), .key = "k"});
  EXPECT_EQ(Reply().body["job"]["id"], id);
  EXPECT_EQ(Reply().body["job"]["state"], "cancelled");
  again({.id = id});
  EXPECT_EQ(Reply().body["job"]["id"], id);
  again({.id = NewJobId(), .key = "k", .fingerprint = "f2"});
  EXPECT_EQ(ReplyCode(), "idempotency_conflict");
  EXPECT_THAT(books.jobs(), SizeIs(1));
}

TEST_F(AdmissionTest, KnowsTheKeysOfLiveJobsAfterARestart) {
  const std::string id = Submit({.key = "k"});
  Restart();
  EXPECT_EQ(dispatcher->FindByKey("k")->id, id);
  Cancel(id);
  EXPECT_EQ(dispatcher->FindByKey("k"), nullptr);
}

TEST_F(AdmissionTest, EndsKnownPoisonWithoutAnAttempt) {
  const std::string victim = Poison("5a");
  const std::string id = Submit({.sha256 = "5a"});
  EXPECT_EQ(ReplyCode(), "ok");
  EXPECT_EQ(State(id), JobState::kQueued);
  ASSERT_THAT(All<Bury>(), SizeIs(1));
  EXPECT_EQ(All<Bury>()[0].letter.report["error"]["context"]["earlier_job"], victim);
  Cancel(id);
  EXPECT_EQ(ReplyCode(), "job_finished");
  // The folder is written in the end, whatever happens to this broker.
  Restart();
  ASSERT_THAT(All<Bury>(), SizeIs(1));
  Buried(id);
  EXPECT_EQ(State(id), JobState::kDead);
  EXPECT_EQ(books.job(id).error["code"], "poison");
  EXPECT_EQ(books.job(id).error["context"]["known"], true);
  EXPECT_EQ(books.attempts().rbegin()->second.task_id, TaskOf(victim).id);
}

TEST_F(AdmissionTest, RunsForcedPoisonAndUnknownInputs) {
  Poison("5a");
  Register("host/1", 3);
  EXPECT_EQ(State(Submit({.force = true, .sha256 = "5a"})), JobState::kRunning);
  EXPECT_EQ(State(Submit({.sha256 = "5b"})), JobState::kRunning);
  EXPECT_EQ(State(Submit({.sha256 = ""})), JobState::kRunning);
}

TEST_F(AdmissionTest, ForgetsPoisonWhoseLetterHasLeftTheQueue) {
  using Leave = std::function<void(const std::string&)>;
  for (const Leave& leave : {Leave([this](const std::string& id) { Purge(id); }),
                             Leave([this](const std::string& id) { Expire({id}); }),
                             Leave([this](const std::string& id) { Redrive(id); })}) {
    const std::string victim = Poison("5a");
    Restart();
    EXPECT_THAT((Submit({.sha256 = "5a"}), All<Bury>()), SizeIs(1));
    const std::string known = books.events().back().job_id;
    Buried(known);
    leave(known);
    leave(victim);
    const std::string id = Submit({.sha256 = "5a"});
    EXPECT_EQ(TaskOf(id).state, TaskState::kQueued);
    Cancel(id);
    if (dispatcher->Find(known) != nullptr) Cancel(known);
    if (dispatcher->Find(victim) != nullptr) Cancel(victim);
  }
}

TEST_F(AdmissionTest, RefusesJobsThatTheDiskCannotHoldUntilItHasRoom) {
  options.min_free_bytes = kGiB;
  Start();
  dispatcher->SetDisk(10 * kGiB);
  const std::string first = Submit({.bytes = 5 * kGiB});
  EXPECT_EQ(ReplyCode(), "ok");
  EXPECT_EQ(dispatcher->QueueView(now())["reserved_bytes"], 5 * kGiB);
  EXPECT_EQ(dispatcher->QueueView(now())["free_bytes"], 10 * kGiB);
  Submit({.bytes = 5 * kGiB});
  EXPECT_EQ(ReplyCode(), "storage_full");
  EXPECT_GE(Reply().body["context"]["retry_after_seconds"], 1);
  Submit({.bytes = 3 * kGiB});
  EXPECT_EQ(ReplyCode(), "ok");
  Cancel(first);
  Submit({.bytes = 5 * kGiB});
  EXPECT_EQ(ReplyCode(), "ok");
  dispatcher->SetDisk(kGiB);
  Submit();
  EXPECT_EQ(ReplyCode(), "storage_full");
  dispatcher->SetDisk(std::nullopt);
  Submit();
  EXPECT_EQ(ReplyCode(), "ok");
}

TEST_F(AdmissionTest, AcceptsJobsOnAFullDiskWithoutAFloor) {
  options.min_free_bytes = 0;
  Start();
  dispatcher->SetDisk(0);
  Submit({.bytes = kGiB});
  EXPECT_EQ(ReplyCode(), "ok");
}

TEST_F(AdmissionTest, KeepsReservationsOverARestart) {
  Submit({.bytes = 5 * kGiB});
  Restart();
  EXPECT_EQ(dispatcher->QueueView(now())["reserved_bytes"], 5 * kGiB);
}

}  // namespace
}  // namespace millrace::broker
