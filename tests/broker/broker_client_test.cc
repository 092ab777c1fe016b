#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/broker/broker_fixture.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using testing::HasSubstr;

class BrokerClientTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    client_.emplace(Endpoint("client"));
  }

  std::optional<ScriptedPeer> client_;
};

TEST_F(BrokerClientTest, SaysThatItAcceptsJobs) {
  const Message reply = client_->Ask("ping", json::object());
  EXPECT_EQ(reply.type, "ok");
  EXPECT_EQ(reply.body.at("accepting"), true);
  EXPECT_EQ(reply.body.at("reason"), "");
}

TEST_F(BrokerClientTest, AnswersAHealthCheckThatAsksOnce) {
  const Message ping{.type = "ping", .id = "1"};
  EXPECT_EQ(AskBroker(Endpoint("client"), ping, kPatience).body.at("accepting"), true);
  const Message unknown{.type = "dance", .id = "2"};
  EXPECT_THROW(AskBroker(Endpoint("client"), unknown, kPatience), Error);
}

TEST(AskBroker, GivesUpIfNoBrokerAnswers) {
  const TempDir dir;
  const std::string endpoint = "ipc://" + (dir.path() / "nobody").string();
  try {
    AskBroker(endpoint, {.type = "ping", .id = "1"}, std::chrono::milliseconds(50));
    FAIL() << "answered";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kBrokerUnavailable);
  }
}

TEST_F(BrokerClientTest, MakesAPageShorterRatherThanAMessageTooLarge) {
  constexpr int kJobs = 100;
  for (int i = 0; i < kJobs; ++i) {
    Job job = samples::SmallJob();
    for (int label = 0; label < 32; ++label) {
      // Six bytes each in JSON: fifty kilobytes a job.
      job.request.labels["label" + std::to_string(label)] = std::string(256, '\x01');
    }
    ASSERT_EQ(client_->Ask("submit", SubmitBody(job)).type, "ok");
  }
  int seen = 0;
  int pages = 0;
  std::string token;
  do {
    const Message page = client_->Ask("list_jobs", {{"page_size", 500}, {"page_token", token}});
    ASSERT_EQ(page.type, "ok");
    EXPECT_LE(page.body.dump().size(), kMaxBodyBytes);
    seen += static_cast<int>(page.body.at("jobs").size());
    token = page.body.at("next_page_token");
    ++pages;
  } while (!token.empty());
  EXPECT_EQ(seen, kJobs);
  EXPECT_GT(pages, 1);
}

TEST_F(BrokerClientTest, AnswersASubmitOnceItIsDurable) {
  const std::string job = SubmitJob(*client_);
  EXPECT_EQ(disk_->commits(), 1);
  // Another reader of the file sees it already.
  EXPECT_TRUE(OpenSqliteLedger(dir_.path() / "ledger.db")->FindJob(job).has_value());
  EXPECT_EQ(StateOf(*client_, job), "queued");
}

TEST_F(BrokerClientTest, ARepeatedSubmitMakesNoSecondJob) {
  Job job = samples::SmallJob();
  const json first = client_->Ask("submit", SubmitBody(job)).body;
  const json second = client_->Ask("submit", SubmitBody(job)).body;
  EXPECT_EQ(first.at("job").at("id"), second.at("job").at("id"));
  EXPECT_EQ(client_->Ask("list_jobs", json::object()).body.at("jobs").size(), 1U);
}

TEST_F(BrokerClientTest, ASubmitRepeatedAfterItsJobHasEndedShowsTheEndedJob) {
  Job job = samples::SmallJob();
  client_->Ask("submit", SubmitBody(job));
  EXPECT_EQ(client_->Ask("cancel", {{"job_id", job.id}}).body.at("job").at("state"), "cancelled");
  const Message again = client_->Ask("submit", SubmitBody(job));
  EXPECT_EQ(again.type, "ok");
  EXPECT_EQ(again.body.at("job").at("state"), "cancelled");
}

// All of it in one batch: the ledger does not have the job yet when it ends.
TEST_F(BrokerClientTest, SubmitCancelAndSubmitAgainInOneBatchMakeOneCancelledJob) {
  SubmitJob(*client_);
  disk_->Hold();
  const Job first = samples::SmallJob();
  client_->Send("submit", SubmitBody(first));
  disk_->AwaitHeldCommit();
  const Job job = samples::SmallJob();
  const std::string submit = client_->Send("submit", SubmitBody(job));
  const std::string cancel = client_->Send("cancel", {{"job_id", job.id}});
  const std::string again = client_->Send("submit", SubmitBody(job));
  disk_->Release();
  for (const std::string& id : {submit, cancel, again}) {
    const Message reply =
        client_->ExpectWhere([&](const Message& message) { return message.id == id; }, "a reply");
    EXPECT_EQ(reply.type, "ok") << reply.body.dump();
  }
  EXPECT_EQ(StateOf(*client_, job.id), "cancelled");
}

TEST_F(BrokerClientTest, CommitsManySubmissionsTogether) {
  constexpr int kJobs = 64;
  disk_->Hold();
  std::vector<std::string> ids;
  for (int i = 0; i < kJobs; ++i) {
    ids.push_back(client_->Send("submit", SubmitBody(samples::SmallJob())));
    if (i == 0) disk_->AwaitHeldCommit();
  }
  disk_->Release();
  for (const std::string& id : ids) {
    const Message reply =
        client_->ExpectWhere([&](const Message& message) { return message.id == id; }, "a reply");
    EXPECT_EQ(reply.type, "ok");
  }
  EXPECT_LT(disk_->commits(), kJobs / 2);
  EXPECT_EQ(client_->Ask("queue", json::object()).body.at("queued"), kJobs);
}

TEST_F(BrokerClientTest, ReadsOfTheSameBatchSeeWhatWasCommittedWithThem) {
  const Job job = samples::SmallJob();
  client_->Send("submit", SubmitBody(job));
  EXPECT_EQ(StateOf(*client_, job.id), "queued");
}

TEST_F(BrokerClientTest, RefusesASubmitAfterItsDeadline) {
  const Job job = samples::SmallJob();
  json body = SubmitBody(job);
  body["deadline_unix_ms"] = DeadlineIn(std::chrono::seconds(-1));
  EXPECT_EQ(client_->Ask("submit", body).body.at("code"), "deadline_exceeded");
  EXPECT_EQ(client_->Ask("get_job", {{"job_id", job.id}}).body.at("code"), "job_not_found");
}

TEST_F(BrokerClientTest, CancelsAQueuedJobAndSaysWhyItCannotCancelOthers) {
  const std::string job = SubmitJob(*client_);
  EXPECT_EQ(client_->Ask("cancel", {{"job_id", job}}).body.at("job").at("state"), "cancelled");
  const json again = client_->Ask("cancel", {{"job_id", job}}).body;
  EXPECT_EQ(again.at("code"), "job_finished");
  EXPECT_THAT(again.at("detail").get<std::string>(), HasSubstr("cancelled"));
  EXPECT_EQ(client_->Ask("cancel", {{"job_id", NewJobId()}}).body.at("code"), "job_not_found");
}

TEST_F(BrokerClientTest, ListsJobsFromMemoryAndLedgerPageByPage) {
  const std::string ended = SubmitJob(*client_);
  client_->Ask("cancel", {{"job_id", ended}});
  const std::string queued = SubmitJob(*client_);
  const json first = client_->Ask("list_jobs", {{"page_size", 1}}).body;
  ASSERT_EQ(first.at("jobs").size(), 1U);
  EXPECT_EQ(first["jobs"][0]["id"], queued);
  EXPECT_EQ(first["jobs"][0]["progress"]["queue_position"], 1);
  const json second =
      client_->Ask("list_jobs", {{"page_size", 1}, {"page_token", first.at("next_page_token")}})
          .body;
  ASSERT_EQ(second.at("jobs").size(), 1U);
  EXPECT_EQ(second["jobs"][0]["id"], ended);
  EXPECT_EQ(second["jobs"][0]["state"], "cancelled");
  EXPECT_EQ(second.at("next_page_token"), "");
}

TEST_F(BrokerClientTest, NamesTheWrongFieldsOfAList) {
  const json body = client_->Ask("list_jobs", {{"page_size", 0}, {"order", "up"}}).body;
  EXPECT_EQ(body.at("code"), "invalid_request");
  EXPECT_EQ(body.at("errors").size(), 2U);
}

TEST_F(BrokerClientTest, ShowsTheAttemptsOfAJob) {
  ScriptedWorker worker(Endpoint("worker"), "host/1");
  worker.Register();
  const std::string job = SubmitJob(*client_);
  const Message assign = worker.Expect("assign");
  const json attempts = client_->Ask("attempts", {{"job_id", job}}).body.at("attempts");
  ASSERT_EQ(attempts.size(), 1U);
  EXPECT_EQ(attempts[0]["worker"], "host/1");
  EXPECT_EQ(attempts[0]["fence"], assign.body.at("fence"));
  EXPECT_EQ(client_->Ask("attempts", {{"job_id", NewJobId()}}).body.at("code"), "job_not_found");
}

TEST_F(BrokerClientTest, ProbesThroughAWorker) {
  EXPECT_EQ(client_
                ->Ask("probe", {{"input", {{"upload", NewUploadId()}}},
                                {"input_name", "in.mov"},
                                {"deadline_unix_ms", DeadlineIn(kPatience)}})
                .body.at("code"),
            "no_worker");
  ScriptedWorker worker(Endpoint("worker"), "host/1");
  worker.Register();
  const std::string id = client_->Send("probe", {{"input", {{"upload", NewUploadId()}}},
                                                 {"input_name", "in.mov"},
                                                 {"deadline_unix_ms", DeadlineIn(kPatience)}});
  const Message probe = worker.Expect("probe");
  worker.Send("probed", {{"instance", worker.instance()},
                         {"probe", probe.body.at("probe")},
                         {"media", {{"container", "mov"}}}});
  const Message reply =
      client_->ExpectWhere([&](const Message& message) { return message.id == id; }, "the probe");
  EXPECT_EQ(reply.type, "ok");
  EXPECT_EQ(reply.body.at("media").at("container"), "mov");
}

TEST_F(BrokerClientTest, ShowsItsWorkers) {
  ScriptedWorker worker(Endpoint("worker"), "host/1");
  worker.Register();
  const json workers = client_->Ask("workers", json::object()).body.at("workers");
  ASSERT_EQ(workers.size(), 1U);
  EXPECT_EQ(workers[0]["name"], "host/1");
}

}  // namespace
}  // namespace millrace::broker
