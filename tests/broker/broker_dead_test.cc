#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/base/files.h"
#include "tests/broker/broker_fixture.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::SizeIs;
namespace fs = std::filesystem;

// What ops do with the queue of dead letters, and what repeated requests find.
class BrokerDeadTest : public BrokerTest {
 protected:
  void SetUp() override {
    BrokerTest::SetUp();
    client_.emplace(Endpoint("client"));
    worker_.emplace(Endpoint("worker"), "host/1");
    worker_->Register();
  }

  // A job that has died of media that is none.
  std::string MakeDead() {
    const std::string job = SubmitJob(*client_);
    const Message assign = worker_->Expect("assign");
    EXPECT_EQ(worker_->Fail(assign, "not_media").type, "ack");
    AwaitState(*client_, job, "dead");
    return job;
  }

  void FinishNext() {
    const Message assign = worker_->Expect("assign");
    EXPECT_EQ(worker_->Ask("finished", MakeFiles(*worker_, assign)).type, "ack");
  }

  bool HasFolder(const std::string& job) { return fs::exists(media_->DeadLetterFolder(job)); }

  void AwaitNoFolder(const std::string& job) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (HasFolder(job) && std::chrono::steady_clock::now() < deadline) StateOf(*client_, job);
    EXPECT_FALSE(HasFolder(job));
  }

  json Letters(const json& filter = json::object()) {
    return client_->Ask("dead_letters", filter).body.at("dead_letters");
  }

  json Redrive(const std::string& job, int generation) {
    return client_->Ask("redrive", {{"job_id", job}, {"generation", generation}}).body;
  }

  json RedriveMany(const std::string& id, bool canary, bool dry_run = false) {
    return client_
        ->Ask("redrive_many", {{"redrive_id", id},
                               {"filter", {{"code", "not_media"}}},
                               {"canary", canary},
                               {"dry_run", dry_run}})
        .body;
  }

  std::optional<ScriptedPeer> client_;
  std::optional<ScriptedWorker> worker_;
};

TEST_F(BrokerDeadTest, ShowsTheQueueAndItsGroups) {
  const std::string first = MakeDead();
  const std::string second = MakeDead();
  json letters = Letters();
  ASSERT_THAT(letters, SizeIs(2));
  EXPECT_EQ(letters[0]["job"], second);
  EXPECT_EQ(letters[0]["code"], "not_media");
  EXPECT_EQ(letters[0]["worker"], "host/1");
  EXPECT_THAT(Letters({{"code", "corrupt_media"}}), SizeIs(0));
  json page = client_->Ask("dead_letters", {{"page_size", 1}}).body;
  ASSERT_THAT(page["dead_letters"], SizeIs(1));
  EXPECT_EQ(Letters({{"page_size", 1}, {"page_token", page["next_page_token"]}})[0]["job"], first);
  json groups = client_->Ask("dead_letter_groups", json::object()).body.at("groups");
  ASSERT_THAT(groups, SizeIs(1));
  EXPECT_EQ(groups[0]["count"], 2);
  EXPECT_EQ(groups[0]["signature"], letters[0]["signature"]);
  EXPECT_EQ(client_->Ask("get_dead_letter", {{"job_id", first}}).body["dead_letter"]["job"], first);
  EXPECT_EQ(client_->Ask("get_dead_letter", {{"job_id", NewJobId()}}).body["code"],
            "dead_letter_not_found");
  EXPECT_EQ(client_->Ask("queue", json::object()).body.at("dead_letters"), 2);
  json wrong = client_->Ask("dead_letters", {{"state", "lost"}, {"died_after", "x"}}).body;
  EXPECT_EQ(wrong["code"], "invalid_request");
  EXPECT_THAT(wrong["errors"], SizeIs(2));
}

TEST_F(BrokerDeadTest, RedrivesAJobAsItsNextGeneration) {
  EventListener events(Endpoint("event"), "dead-letter");
  const std::string job = MakeDead();
  json redriven = Redrive(job, 1).at("job");
  EXPECT_EQ(redriven["generation"], 2);
  EXPECT_EQ(Redrive(job, 1).at("job")["generation"], 2) << "repeated";
  EXPECT_TRUE(HasFolder(job)) << "until it has ended well";
  EXPECT_THAT(Letters(), SizeIs(0));
  EXPECT_EQ(Letters({{"state", "any"}})[0]["state"], "redriven");
  FinishNext();
  AwaitState(*client_, job, "succeeded");
  AwaitNoFolder(job);
  EXPECT_EQ(Redrive(NewJobId(), 1).at("code"), "dead_letter_not_found");
  const auto is = [](const char* event) {
    return [event](const json& body) { return body.at("event") == event; };
  };
  EXPECT_EQ(events.ExpectWhere(is("arrived"))["job"], job);
  EXPECT_EQ(events.ExpectWhere(is("redriven"))["job"], job);
}

TEST_F(BrokerDeadTest, AJobThatDiesAgainReplacesItsFolder) {
  const std::string job = MakeDead();
  Redrive(job, 1);
  const Message assign = worker_->Expect("assign");
  EXPECT_EQ(worker_->Fail(assign, "no_streams").type, "ack");
  AwaitState(*client_, job, "dead");
  json report = json::parse(ReadWholeFile(media_->DeadLetterFolder(job) / "report.json"));
  EXPECT_EQ(report["generation"], 2);
  EXPECT_EQ(report["error"]["code"], "no_streams");
  EXPECT_EQ(Letters()[0]["generation"], 2);
}

TEST_F(BrokerDeadTest, PurgesALetterAndKeepsItsTombstone) {
  const std::string job = MakeDead();
  json letter = client_->Ask("purge", {{"job_id", job}}).body.at("dead_letter");
  EXPECT_EQ(letter["state"], "purged");
  AwaitNoFolder(job);
  EXPECT_EQ(StateOf(*client_, job), "dead");
  EXPECT_EQ(client_->Ask("purge", {{"job_id", job}}).body.at("dead_letter"), letter);
  EXPECT_EQ(client_->Ask("get_dead_letter", {{"job_id", job}}).body["dead_letter"], letter);
  EXPECT_EQ(Redrive(job, 1).at("code"), "dead_letter_not_found");
}

TEST_F(BrokerDeadTest, PurgesManyOnlyIfTheirCountIsAsExpected) {
  MakeDead();
  MakeDead();
  json ask = {{"purge_id", "one"}, {"filter", json::object()}, {"dry_run", true}};
  EXPECT_EQ(client_->Ask("purge_many", ask).body.at("count"), 2);
  ask["dry_run"] = false;
  ask["expected"] = 1;
  EXPECT_EQ(client_->Ask("purge_many", ask).body.at("code"), "precondition_failed");
  ask["expected"] = 2;
  EXPECT_EQ(client_->Ask("purge_many", ask).body.at("count"), 2);
  EXPECT_THAT(Letters(), SizeIs(0));
}

TEST_F(BrokerDeadTest, AnswersARepeatedPurgeOfManyAsBefore) {
  MakeDead();
  MakeDead();
  json ask = {{"purge_id", "one"}, {"filter", json::object()}, {"dry_run", false}, {"expected", 2}};
  EXPECT_EQ(client_->Ask("purge_many", ask).body.at("count"), 2);
  MakeDead();
  EXPECT_EQ(client_->Ask("purge_many", ask).body.value("count", -1), 2);
  Restart();
  EXPECT_EQ(client_->Ask("purge_many", ask).body.value("count", -1), 2);
  EXPECT_THAT(Letters(), SizeIs(1)) << "purged again";
  ask["dry_run"] = true;
  EXPECT_EQ(client_->Ask("purge_many", ask).body.at("count"), 1);
}

TEST_F(BrokerDeadTest, AnswersBothCopiesOfARedriveOfMany) {
  MakeDead();
  MakeDead();
  const json ask = {{"redrive_id", NewId("rdr_")},
                    {"filter", json::object()},
                    {"canary", false},
                    {"dry_run", false}};
  disk_->Hold();
  client_->Send("submit", SubmitBody(samples::SmallJob()));
  disk_->AwaitHeldCommit();
  const std::string first = client_->Send("redrive_many", ask);
  const std::string second = client_->Send("redrive_many", ask);
  disk_->Release();
  const auto answer = [&](const std::string& id) {
    return client_->ExpectWhere([&](const Message& message) { return message.id == id; }, id).body;
  };
  const json answered = answer(first);
  EXPECT_EQ(answered.at("count"), 2);
  EXPECT_EQ(answer(second), answered);
  EXPECT_EQ(client_->Ask("redrive_many", ask).body, answered);
}

TEST_F(BrokerDeadTest, RedrivesManyBehindACanary) {
  const std::string first = MakeDead();
  const std::string second = MakeDead();
  const std::string id = NewId("rdr_");
  EXPECT_EQ(RedriveMany(id, true, true).at("count"), 2);
  EXPECT_THAT(Letters(), SizeIs(2)) << "that was a question";
  json answer = RedriveMany(id, true);
  EXPECT_EQ(answer["count"], 2);
  EXPECT_EQ(answer["redrive"]["state"], "waiting");
  EXPECT_EQ(answer["redrive"]["canary"], first);
  EXPECT_EQ(StateOf(*client_, second), "dead");
  FinishNext();
  AwaitState(*client_, first, "succeeded");
  FinishNext();
  AwaitState(*client_, second, "succeeded");
  EXPECT_EQ(client_->Ask("get_redrive", {{"redrive_id", id}}).body["redrive"]["state"], "released");
  answer = RedriveMany(id, true);
  EXPECT_EQ(answer["redrive"]["state"], "released") << "repeated";
  EXPECT_EQ(answer["count"], 2);
  EXPECT_EQ(client_->Ask("get_redrive", {{"redrive_id", NewId("rdr_")}}).body["code"],
            "redrive_not_found");
}

TEST_F(BrokerDeadTest, StopsBehindACanaryThatFails) {
  const std::string first = MakeDead();
  const std::string second = MakeDead();
  const std::string id = NewId("rdr_");
  RedriveMany(id, true);
  EXPECT_EQ(worker_->Fail(worker_->Expect("assign"), "not_media").type, "ack");
  AwaitState(*client_, first, "dead");
  EXPECT_EQ(client_->Ask("get_redrive", {{"redrive_id", id}}).body["redrive"]["state"], "stopped");
  EXPECT_EQ(StateOf(*client_, second), "dead");
}

TEST_F(BrokerDeadTest, GoesOnWithARedriveWhoseCanaryEndedBeforeARestart) {
  const std::string first = MakeDead();
  const std::string second = MakeDead();
  RedriveMany(NewId("rdr_"), true);
  const Message assign = worker_->Expect("assign");
  const json finished = MakeFiles(*worker_, assign);
  // "succeeded" cannot be recorded any more.
  disk_->FillUpAfter(1);
  worker_->Send("finished", finished);
  worker_->Expect("ack");
  Stop();
  disk_->SetFull(false);
  Start();
  AwaitState(*client_, first, "succeeded");
  worker_->Register();
  FinishNext();
  AwaitState(*client_, second, "succeeded");
}

TEST_F(BrokerDeadTest, FindsTheJobOfAKeyInAnyState) {
  json submission = SubmitBody(samples::SmallJob());
  submission["idempotency_key"] = "key";
  submission["fingerprint"] = "f00d";
  const std::string job = submission["job_id"];
  const auto again = [&](const char* fingerprint) {
    json body = submission;
    body["job_id"] = NewJobId();
    body["fingerprint"] = fingerprint;
    return client_->Ask("submit", body).body;
  };
  EXPECT_EQ(client_->Ask("submit", submission).type, "ok");
  EXPECT_EQ(again("f00d")["job"]["id"], job) << "live";
  EXPECT_EQ(again("beef")["code"], "idempotency_conflict");
  FinishNext();
  AwaitState(*client_, job, "succeeded");
  EXPECT_EQ(again("f00d")["job"]["id"], job) << "ended";
  EXPECT_EQ(again("beef")["code"], "idempotency_conflict");
  Restart();
  EXPECT_EQ(again("f00d")["job"]["state"], "succeeded");
}

TEST_F(BrokerDeadTest, FindsTheJobOfAKeyThatEndedInTheSameCommit) {
  worker_->Ask("goodbye", {{"instance", worker_->instance()}});
  json submission = SubmitBody(samples::SmallJob());
  submission["idempotency_key"] = "key";
  submission["fingerprint"] = "f00d";
  disk_->Hold();
  const std::string other = client_->Send("submit", SubmitBody(samples::SmallJob()));
  disk_->AwaitHeldCommit();
  client_->Send("submit", submission);
  client_->Send("cancel", {{"job_id", submission["job_id"]}});
  json body = submission;
  body["job_id"] = NewJobId();
  const std::string last = client_->Send("submit", body);
  disk_->Release();
  const Message reply =
      client_->ExpectWhere([&](const Message& message) { return message.id == last; }, "the last");
  ASSERT_EQ(reply.type, "ok") << reply.body.dump();
  EXPECT_EQ(reply.body["job"]["id"], submission["job_id"]);
  EXPECT_EQ(reply.body["job"]["state"], "cancelled");
}

TEST_F(BrokerDeadTest, PercentNeverFallsAcrossARestart) {
  const std::string job = SubmitJob(*client_);
  const Message assign = worker_->Expect("assign");
  worker_->Beat(json::array({ScriptedWorker::Running(assign, 42)}));
  EXPECT_EQ(GetJob(*client_, job)["job"]["progress"]["percent"], 42);
  Restart();
  EXPECT_EQ(GetJob(*client_, job)["job"]["progress"]["percent"], 42);
}

}  // namespace
}  // namespace millrace::broker
