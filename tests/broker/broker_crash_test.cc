#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "broker/upkeep/media_inventory.h"
#include "core/base/files.h"
#include "tests/broker/broker_process.h"

namespace millrace::broker {
namespace {

using nlohmann::json;
using testing::SizeIs;
namespace fs = std::filesystem;

// The broker dies at each step between two durable ones. Commits are counted from its start: the
// first takes the job and leases it, the second records the worker's report, the third how that
// ended.
class BrokerCrashTest : public BrokerProcessTest, public testing::WithParamInterface<const char*> {
 protected:
  json Attempts(ScriptedPeer& client, const std::string& job) {
    return client.Ask("attempts", {{"job_id", job}}).body.at("attempts");
  }

  // The worker as it comes back: it registers with what it holds and repeats its report.
  static void ReportAgain(ScriptedWorker& worker, const Message& assign, const std::string& type,
                          json report) {
    worker.Register(
        json::array({{{"task", assign.body.at("task")}, {"fence", assign.body.at("fence")}}}));
    report["instance"] = worker.instance();
    const Message answer = worker.Ask(type, report);
    EXPECT_TRUE(answer.type == "ack" || answer.type == "lease_lost") << answer.type;
  }

  // Both on connections of their own: what is sent on one that is just breaking may be lost.
  void Reconnect(std::optional<ScriptedPeer>& client, std::optional<ScriptedWorker>& worker) {
    client.emplace(Endpoint("client"));
    worker.emplace(Endpoint("worker"), "host/1");
  }

  std::vector<std::string> NamesIn(const std::string& folder) {
    std::vector<std::string> names;
    for (const auto& entry : fs::directory_iterator(dir_.path() / folder)) {
      names.push_back(entry.path().filename());
    }
    return names;
  }
};

using BrokerCrashOnSubmitTest = BrokerCrashTest;

TEST_P(BrokerCrashOnSubmitTest, MakesOneJobOfASubmissionThatIsRepeated) {
  Start(GetParam());
  std::optional<ScriptedPeer> client;
  client.emplace(Endpoint("client"));
  json submission = NewSubmission();
  submission["idempotency_key"] = "key";
  submission["fingerprint"] = "f00d";
  client->Send("submit", submission);
  AwaitCrash();
  Start();
  client.emplace(Endpoint("client"));
  // A client that never saw its answer asks again, and its api makes up another id.
  json again = submission;
  again["job_id"] = NewJobId();
  const Message reply = client->Ask("submit", again);
  ASSERT_EQ(reply.type, "ok") << reply.body.dump();
  json jobs = client->Ask("list_jobs", json::object()).body.at("jobs");
  ASSERT_THAT(jobs, SizeIs(1));
  EXPECT_EQ(jobs[0]["id"], reply.body["job"]["id"]);
  EXPECT_EQ(jobs[0]["state"], "queued");
}

INSTANTIATE_TEST_SUITE_P(Step, BrokerCrashOnSubmitTest,
                         testing::Values("broker.before_commit=crash", "broker.after_commit=crash",
                                         "broker.before_reply=crash"));

using BrokerCrashOnPublishTest = BrokerCrashTest;

TEST_P(BrokerCrashOnPublishTest, PublishesOneAttemptOnce) {
  Start(GetParam());
  std::optional<ScriptedPeer> client;
  std::optional<ScriptedWorker> worker;
  Reconnect(client, worker);
  worker->Register();
  const json submission = NewSubmission();
  const std::string job = submission["job_id"];
  client->Send("submit", submission);
  const Message assign = worker->Expect("assign");
  const Fence fence = assign.body.at("fence");
  json report = MakeFiles(*worker, assign);
  worker->Send("finished", report);
  AwaitCrash();

  Start();
  Reconnect(client, worker);
  ReportAgain(*worker, assign, "finished", report);
  json found = AwaitState(*client, job, "succeeded");
  EXPECT_EQ(found["published_fence"], fence);
  EXPECT_EQ(found["job"]["progress"]["percent"], 100);
  json attempts = Attempts(*client, job);
  ASSERT_THAT(attempts, SizeIs(1));
  EXPECT_EQ(attempts[0]["outcome"], "succeeded");
  EXPECT_FALSE(worker->HasWithin(std::chrono::milliseconds(0), "assign"));
  EXPECT_THAT(NamesIn("outputs/" + job), testing::ElementsAre(std::to_string(fence)));
  EXPECT_EQ(ReadWholeFile(media_->FindOutput(job, fence, "web.mp4").value()), "encoded");
  EXPECT_THAT(NamesIn("work"), SizeIs(0));
}

INSTANTIATE_TEST_SUITE_P(
    Step, BrokerCrashOnPublishTest,
    testing::Values("broker.before_commit=crash@2", "broker.after_commit=crash@2",
                    "broker.before_publish=crash", "broker.during_publish=crash",
                    "broker.before_commit=crash@3", "broker.after_commit=crash@3"));

using BrokerCrashOnGatheringTest = BrokerCrashTest;

TEST_P(BrokerCrashOnGatheringTest, PublishesTheFilesOfAllTasksOnce) {
  Start(GetParam());
  std::optional<ScriptedPeer> client;
  std::optional<ScriptedWorker> worker;
  Reconnect(client, worker);
  worker->slots = 2;
  worker->Register();
  json submission = NewSubmission();
  const std::string job = submission["job_id"];
  submission["input_facts"]["bytes"] = 1'000'000;
  submission["request"]["spec"]["outputs"].push_back(
      {{"name", "sound"}, {"container", "m4a"}, {"audio", {{"codec", "aac"}}}});
  client->Send("submit", submission);
  const Message web = worker->Expect("assign");
  const Message sound = worker->Expect("assign");
  EXPECT_EQ(sound.body.at("job"), job);
  json first = MakeFiles(*worker, web);
  worker->Send("finished", first);
  json second = MakeFiles(*worker, sound, "sound.m4a");
  worker->Send("finished", second);
  AwaitCrash();

  Start();
  Reconnect(client, worker);
  ReportAgain(*worker, web, "finished", first);
  ReportAgain(*worker, sound, "finished", second);
  const json found = AwaitState(*client, job, "succeeded");
  const Fence fence = found["published_fence"];
  EXPECT_EQ(fence,
            std::max(web.body.at("fence").get<Fence>(), sound.body.at("fence").get<Fence>()));
  EXPECT_THAT(Attempts(*client, job), SizeIs(2));
  EXPECT_THAT(NamesIn("outputs"), testing::ElementsAre(job));
  EXPECT_THAT(NamesIn("outputs/" + job), testing::ElementsAre(std::to_string(fence)));
  for (const char* path : {"web.mp4", "sound.m4a"}) {
    EXPECT_EQ(ReadWholeFile(media_->FindOutput(job, fence, path).value()), "encoded");
  }
  EXPECT_THAT(NamesIn("work"), SizeIs(0));
}

INSTANTIATE_TEST_SUITE_P(Step, BrokerCrashOnGatheringTest,
                         testing::Values("broker.before_publish=crash",
                                         "broker.while_gathering=crash",
                                         "broker.while_gathering=crash@2",
                                         "broker.after_publish_rename=crash",
                                         "broker.during_publish=crash"));

using BrokerCrashOnBurialTest = BrokerCrashTest;

TEST_P(BrokerCrashOnBurialTest, BuriesTheJobOnceAndCompletely) {
  Start(GetParam());
  std::optional<ScriptedPeer> client;
  std::optional<ScriptedWorker> worker;
  Reconnect(client, worker);
  worker->Register();
  const json submission = NewSubmission();
  const std::string job = submission["job_id"];
  client->Send("submit", submission);
  const Message assign = worker->Expect("assign");
  MakeFiles(*worker, assign);
  json report = worker->About(assign);
  report["failure"] = {{"error", {{"code", "not_media"}, {"detail", "as the test says"}}},
                       {"usage", {{"peak_rss_bytes", 1}, {"cpu_seconds", 0.1}}},
                       {"log_tail", {"last words"}}};
  worker->Send("failed", report);
  AwaitCrash();

  Start();
  Reconnect(client, worker);
  ReportAgain(*worker, assign, "failed", report);
  EXPECT_EQ(AwaitState(*client, job, "dead")["job"]["error"]["code"], "not_media");
  EXPECT_THAT(Attempts(*client, job), SizeIs(1));
  EXPECT_FALSE(worker->HasWithin(std::chrono::milliseconds(0), "assign"));
  json letters = client->Ask("dead_letters", json::object()).body.at("dead_letters");
  ASSERT_THAT(letters, SizeIs(1));
  EXPECT_EQ(letters[0]["job"], job);
  EXPECT_THAT(NamesIn("dead-letter"), testing::ElementsAre(job));
  const json written =
      json::parse(ReadWholeFile(dir_.path() / "dead-letter" / job / "report.json"));
  EXPECT_THAT(NamesIn("dead-letter/" + job),
              testing::UnorderedElementsAreArray(written["files"].get<std::vector<std::string>>()));
  EXPECT_THAT(written["files"],
              testing::Contains("log-" + assign.body.at("fence").dump() + ".txt"));
  EXPECT_EQ(ReadWholeFile(dir_.path() / "dead-letter" / job / "input"), "some bytes");
}

INSTANTIATE_TEST_SUITE_P(
    Step, BrokerCrashOnBurialTest,
    testing::Values("broker.after_commit=crash@2", "broker.before_dead_letter=crash",
                    "broker.during_dead_letter=crash", "broker.after_dead_letter=crash",
                    "broker.before_commit=crash@3", "broker.after_commit=crash@3"));

using BrokerCrashOnLeaseTest = BrokerCrashTest;

TEST_P(BrokerCrashOnLeaseTest, GivesTheJobToAWorkerAgain) {
  lease_seconds_ = "2";
  Start(GetParam());
  std::optional<ScriptedPeer> client;
  std::optional<ScriptedWorker> worker;
  Reconnect(client, worker);
  worker->Register();
  const json submission = NewSubmission();
  client->Send("submit", submission);
  AwaitCrash();
  Start();
  Reconnect(client, worker);
  // It has not heard of its orders; they are given again when the grace period is over.
  worker->Register();
  const auto deadline = std::chrono::steady_clock::now() + kPatience;
  while (!worker->HasWithin(std::chrono::milliseconds(50), "assign") &&
         std::chrono::steady_clock::now() < deadline) {
    worker->Beat();
  }
  const Message assign = worker->Expect("assign");
  EXPECT_EQ(worker->Ask("finished", MakeFiles(*worker, assign)).type, "ack");
  AwaitState(*client, submission["job_id"], "succeeded");
}

INSTANTIATE_TEST_SUITE_P(Step, BrokerCrashOnLeaseTest,
                         testing::Values("broker.after_lease=crash",
                                         "broker.before_reply=crash@2"));

}  // namespace
}  // namespace millrace::broker
