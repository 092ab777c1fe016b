#include <gtest/gtest.h>

#include <csignal>
#include <map>
#include <set>

#include "tests/system/dead_letter_checks.h"
#include "tests/system/process_table.h"
#include "tests/system/service_test.h"

// The promises to clients under faults, a test for each.

namespace millrace::harness {
namespace {

class FaultsTest : public ServiceTest {
 protected:
  // Stops the broker in the given way while a job runs and others wait, and restarts it.
  void RestartBrokerInTheMiddle(int signal_number) {
    Service& service = Begin({.workers = 1});
    Client& client = service.client();
    const std::string running = client.Start(SlowInput(), SlowOutputs());
    std::vector<std::string> waiting;
    for (int i = 0; i < 5; ++i) {
      waiting.push_back(client.Start(fixtures::FixturePath("tiny-16x16.mp4"), QuickOutputs()));
    }
    client.WaitUntilEncoding(running);
    const std::vector<pid_t> encoders = service.EncodersOf(0);
    ASSERT_EQ(encoders.size(), 1u);
    const json before = client.Attempts(running);

    service.broker().Signal(signal_number);
    ASSERT_TRUE(service.broker().WaitFor(20s));
    EXPECT_TRUE(IsAlive(encoders[0])) << "encoding does not need the broker";
    service.StartBroker();
    service.WaitUntilReady(1);
    EXPECT_TRUE(IsAlive(encoders[0])) << "the running encode was given up";

    const json job = client.WaitForEnd(running);
    ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
    const json after = client.Attempts(running);
    ASSERT_EQ(after.size(), 1u) << "it was run again: " << after.dump();
    EXPECT_EQ(after[0].at("fence"), before.at(0).at("fence"));
    client.Fetch(FilesOf(job, "web").at(0), service.download_dir());
    for (const std::string& id : waiting) {
      EXPECT_EQ(client.WaitForEnd(id).at("state"), "succeeded");
      EXPECT_EQ(client.Attempts(id).size(), 1u);
    }
  }
};

TEST_F(FaultsTest, AllJobsSucceedAfterABrokerWasStopped) { RestartBrokerInTheMiddle(SIGTERM); }

TEST_F(FaultsTest, AllJobsSucceedAfterABrokerWasKilled) { RestartBrokerInTheMiddle(SIGKILL); }

TEST_F(FaultsTest, AnEncodeThatEndsWithoutABrokerIsNotLost) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), SlowOutputs("medium"));
  client.WaitUntilEncoding(id);
  const std::vector<pid_t> encoders = service.EncodersOf(0);
  ASSERT_EQ(encoders.size(), 1u);
  service.broker().Kill();
  ASSERT_TRUE(Eventually([&] { return !IsAlive(encoders[0]); }, 60s));
  service.StartBroker();
  const json job = client.WaitForEnd(id);
  EXPECT_EQ(job.at("state"), "succeeded") << job.dump();
  EXPECT_EQ(client.Attempts(id).size(), 1u);
}

TEST_F(FaultsTest, RequestsAreRefusedAtOnceWithoutABrokerAndServedWhenItIsBack) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string upload = client.Upload(fixtures::FixturePath("tiny-16x16.mp4"));
  const json request = {{"input", {{"upload", upload}}}, {"outputs", QuickOutputs()}};
  service.broker().Kill();
  for (const HttpCall& call :
       {HttpCall{.method = "POST",
       .path = "/v1/jobs",
       .headers = {"Content-Type: application/json"},
       .body = request.dump(),
       .timeout = 4s},
        HttpCall{.path = "/v1/jobs", .timeout = 4s}, HttpCall{.path = "/v1/queue", .timeout = 4s},
        HttpCall{.path = "/readyz", .timeout = 4s}}) {
    const HttpAnswer answer = client.http().Send(call);
    EXPECT_EQ(answer.status, 503) << call.path << " " << answer.body;
    EXPECT_NE(answer.Header("retry-after"), "") << call.path;
    EXPECT_EQ(answer.Json().at("retryable"), true) << answer.body;
  }
  EXPECT_EQ(client.http().Send({.path = "/livez"}).status, 200);

  service.StartBroker();
  service.WaitUntilReady(1);
  const std::string id = client.Submit(request).at("id");
  EXPECT_EQ(client.WaitForEnd(id).at("state"), "succeeded");
  EXPECT_EQ(client.Get("/v1/jobs").at("jobs").size(), 1u)
      << "a submission that was refused came into force";
}

TEST_F(FaultsTest, TheJobOfAKilledWorkerSucceedsOnAnother) {
  Service& service = Begin({.workers = 2, .broker_arguments = {"--lease", "3", "--beat", "0.5"}});
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), SlowOutputs());
  const json running = client.WaitUntilEncoding(id);
  const size_t victim = running.at("worker") == service.WorkerName(0) ? 0 : 1;
  const std::vector<pid_t> encoders = service.EncodersOf(victim);
  ASSERT_EQ(encoders.size(), 1u);

  service.worker(victim).Kill();
  EXPECT_TRUE(Eventually([&] { return !IsAlive(encoders[0]); }, 5s))
      << "an encoder has outlived its worker";
  const json job = client.WaitForEnd(id);
  ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
  const json attempts = client.Attempts(id);
  ASSERT_EQ(attempts.size(), 2u) << attempts.dump();
  EXPECT_EQ(attempts[0].at("worker"), service.WorkerName(victim));
  EXPECT_EQ(attempts[1].at("worker"), service.WorkerName(1 - victim));
  EXPECT_LT(attempts[0].at("fence"), attempts[1].at("fence"));
  client.Fetch(FilesOf(job, "web").at(0), service.download_dir());
}

TEST_F(FaultsTest, AKilledEncoderIsRecordedAndTheNextAttemptSucceeds) {
  Service& service = Begin({.workers = 2});
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), SlowOutputs("slow"));
  const json running = client.WaitUntilEncoding(id);
  const size_t index = running.at("worker") == service.WorkerName(0) ? 0 : 1;
  const std::vector<pid_t> encoders = service.EncodersOf(index);
  ASSERT_EQ(encoders.size(), 1u);
  ASSERT_EQ(kill(encoders[0], SIGKILL), 0);

  const json job = client.WaitForEnd(id);
  ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
  const json attempts = client.Attempts(id);
  ASSERT_EQ(attempts.size(), 2u) << attempts.dump();
  EXPECT_EQ(attempts[0].at("outcome"), "failed");
  EXPECT_NE(attempts[0].at("failure").dump().find("encoder_crashed"), std::string::npos)
      << attempts[0].dump();
  EXPECT_EQ(attempts[1].at("outcome"), "succeeded");
  EXPECT_NE(attempts[0].at("worker"), attempts[1].at("worker")) << "a crash is tried elsewhere";
  EXPECT_TRUE(service.worker(index).Running());
}

TEST_F(FaultsTest, ARestartedApiKnowsEveryJob) {
  Service& service = Begin({.workers = 1});
  const std::string id = service.client().Start(SlowInput(), SlowOutputs("medium"));
  service.api().Kill();
  service.StartApi();
  service.WaitUntilReady(1);
  const json job = service.client().WaitForEnd(id);
  EXPECT_EQ(job.at("state"), "succeeded") << job.dump();
  EXPECT_EQ(service.client().Attempts(id).size(), 1u);
}

TEST_F(FaultsTest, AWorkerFinishesItsTaskBeforeItStops) {
  Service& service = Begin({.workers = 1, .worker_arguments = {"--drain-timeout", "60"}});
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), SlowOutputs("medium"));
  client.WaitUntilEncoding(id);
  service.worker(0).Signal(SIGTERM);
  EXPECT_EQ(client.WaitForEnd(id).at("state"), "succeeded");
  EXPECT_EQ(client.Attempts(id).size(), 1u);
  const auto end = service.worker(0).WaitFor(20s);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->exit_status, 0);
}

TEST_F(FaultsTest, EachProgramStopsCleanlyWithNothingLeftRunning) {
  Service& service = Begin({.workers = 1});
  const pid_t worker = service.worker(0).pid();
  const std::vector<pid_t> zygotes = DescendantsOf(worker);
  EXPECT_FALSE(zygotes.empty());
  EXPECT_EQ(service.worker(0).Stop().exit_status, 0);
  EXPECT_EQ(service.api().Stop().exit_status, 0);
  EXPECT_EQ(service.broker().Stop().exit_status, 0);
  for (const pid_t zygote : zygotes) {
    EXPECT_TRUE(Eventually([&] { return !IsAlive(zygote); }, 5s));
  }
}

}  // namespace
}  // namespace millrace::harness
