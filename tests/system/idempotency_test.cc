#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <set>
#include <thread>

#include "tests/system/service_test.h"

// Submissions repeated under their key make one job, whichever program dies, and at whatever
// moment.

namespace millrace::harness {
namespace {

// Makes programs that start during its lifetime die or fail at the named places.
class Failpoints {
 public:
  explicit Failpoints(const char* plan) { setenv("MILLRACE_FAILPOINTS", plan, 1); }
  ~Failpoints() { unsetenv("MILLRACE_FAILPOINTS"); }
};

class IdempotencyTest : public ServiceTest {
 protected:
  HttpCall Submission() const {
    const json body = {{"input", {{"upload", upload_}}}, {"outputs", QuickOutputs()}};
    return {.method = "POST",
            .path = "/v1/jobs",
            .headers = {"Content-Type: application/json", "Idempotency-Key: asset-42/web"},
            .body = body.dump()};
  }
  Service& BeginWithUpload() {
    Service& service = Begin({.workers = 1, .broker_arguments = {"--lease", "3", "--beat", "0.5"}});
    upload_ = service.client().Upload(fixtures::FixturePath("tiny-16x16.mp4"));
    return service;
  }
  static void RestartApi(Service& service, const char* failpoints) {
    service.api().Stop();
    const Failpoints plan(failpoints);
    service.StartApi();
  }
  static void RestartBroker(Service& service, const char* failpoints) {
    service.broker().Stop();
    const Failpoints plan(failpoints);
    service.StartBroker();
    service.WaitUntilReady(1);
  }

  // Submits until there is an answer, and once more; checks that there is one job, which succeeds.
  void ExpectOneJob(Service& service) {
    service.WaitUntilReady(1);
    Client& client = service.client();
    const HttpAnswer answer = client.http().Send(Submission());
    ASSERT_EQ(answer.status, 202) << answer.body;
    const std::string id = answer.Json().at("id");
    EXPECT_EQ(client.WaitForEnd(id).at("state"), "succeeded");
    const HttpAnswer later = client.http().Send(Submission());
    EXPECT_EQ(later.status, 202) << later.body;
    EXPECT_EQ(later.Json().at("id"), id);
    EXPECT_EQ(later.Json().at("state"), "succeeded");
    EXPECT_EQ(client.Get("/v1/jobs").at("jobs").size(), 1u);
    // Allow one more attempt: a lease may die with the broker before its worker hears of it.
    EXPECT_EQ(std::ranges::count(client.Attempts(id), json("succeeded"),
                                 [](const json& attempt) { return attempt.at("outcome"); }),
              1);
  }
  void ApiDiesAndAnotherIsAsked(const char* failpoints) {
    Service& service = BeginWithUpload();
    RestartApi(service, failpoints);
    EXPECT_EQ(service.client().http().Send(Submission()).status, 0) << "nobody can have answered";
    const auto end = service.api().WaitFor(20s);
    ASSERT_TRUE(end);
    EXPECT_EQ(end->signal, SIGKILL);
    service.StartApi();
    ExpectOneJob(service);
  }
  void BrokerDiesAndIsStartedAgain(const char* failpoints) {
    Service& service = BeginWithUpload();
    RestartBroker(service, failpoints);
    const HttpAnswer lost = service.client().http().Send(Submission());
    EXPECT_EQ(lost.status, 503) << lost.body;
    EXPECT_EQ(lost.Json().at("code"), "broker_unavailable");
    const auto end = service.broker().WaitFor(20s);
    ASSERT_TRUE(end);
    EXPECT_EQ(end->signal, SIGKILL);
    service.StartBroker();
    ExpectOneJob(service);
  }

  std::string upload_;
};

TEST_F(IdempotencyTest, AnApiKilledBeforeItAsksTheBrokerHasMadeNoJob) {
  ApiDiesAndAnotherIsAsked("api.before_submit=crash");
}

TEST_F(IdempotencyTest, AnApiKilledBeforeItAnswersHasMadeOneJob) {
  ApiDiesAndAnotherIsAsked("api.after_submit=crash");
}

TEST_F(IdempotencyTest, ABrokerKilledBeforeItsCommitHasMadeNoJob) {
  BrokerDiesAndIsStartedAgain("broker.before_commit=crash");
}

TEST_F(IdempotencyTest, ABrokerKilledAfterItsCommitHasMadeOneJob) {
  BrokerDiesAndIsStartedAgain("broker.after_commit=crash");
}

TEST_F(IdempotencyTest, AfterAFailureInTheApiTheNextTryFindsTheJob) {
  Service& service = BeginWithUpload();
  for (const char* plan : {"api.before_submit=error", "api.after_submit=error"}) {
    RestartApi(service, plan);
    const HttpAnswer failed = service.client().http().Send(Submission());
    EXPECT_EQ(failed.status, 503) << plan << failed.body;
    EXPECT_EQ(failed.Json().at("code"), "storage_error");
    EXPECT_EQ(failed.Header("content-type"), "application/problem+json");
    EXPECT_NE(failed.Header("retry-after"), "");
  }
  ExpectOneJob(service);
}

TEST_F(IdempotencyTest, AnUploadCanBeRepeatedAfterAFailedAnswer) {
  Service& service = BeginWithUpload();
  RestartApi(service, "api.after_upload=error");
  const auto file = fixtures::FixturePath("tiny-16x16.mp4");
  const HttpAnswer failed = service.client().http().PutFile("/v1/uploads/a.mp4", file);
  EXPECT_EQ(failed.status, 503) << failed.body;
  EXPECT_EQ(failed.Header("content-type"), "application/problem+json");
  EXPECT_EQ(service.client().http().PutFile("/v1/uploads/a.mp4", file).status, 201);

  RestartApi(service, "api.after_upload=crash");
  EXPECT_EQ(service.client().http().PutFile("/v1/uploads/a.mp4", file).status, 0);
  const auto end = service.api().WaitFor(20s);
  ASSERT_TRUE(end);
  EXPECT_EQ(end->signal, SIGKILL);
}

TEST_F(IdempotencyTest, SimultaneousRequestsGetTheSameJob) {
  Service& service = BeginWithUpload();
  constexpr size_t kClients = 8;
  std::vector<HttpAnswer> answers(kClients);
  {
    std::vector<std::jthread> clients;
    for (HttpAnswer& answer : answers) {
      clients.emplace_back(
          [this, &service, &answer] { answer = Http(service.url()).Send(Submission()); });
    }
  }
  std::set<std::string> ids;
  for (const HttpAnswer& answer : answers) {
    EXPECT_EQ(answer.status, 202) << answer.body;
    if (answer.status == 202) ids.insert(answer.Json().at("id"));
  }
  EXPECT_EQ(ids.size(), 1u);
  ExpectOneJob(service);
}

TEST_F(IdempotencyTest, AKeyFindsItsJobAfterTheInputHasLeftTheLibrary) {
  const TempDir library;
  Service& service = Begin({.workers = 1,
                            .api_arguments = {"--library-dir", library.path().string()},
                            .worker_arguments = {"--library-dir", library.path().string()}});
  const std::filesystem::path film = library.path() / "film.mp4";
  std::filesystem::copy_file(fixtures::FixturePath("tiny-16x16.mp4"), film);
  HttpCall call = Submission();
  json body = json::parse(call.body);
  body["input"] = {{"path", "film.mp4"}};
  call.body = body.dump();
  Client& client = service.client();
  const HttpAnswer first = client.http().Send(call);
  ASSERT_EQ(first.status, 202) << first.body;
  const std::string id = first.Json().at("id");
  EXPECT_EQ(client.WaitForEnd(id).at("state"), "succeeded");

  std::filesystem::remove(film);
  const HttpAnswer again = client.http().Send(call);
  EXPECT_EQ(again.status, 202) << again.body;
  EXPECT_EQ(again.Json().at("id"), id);
  call.headers.back() = "Idempotency-Key: asset-43";
  const HttpAnswer other = client.http().Send(call);
  EXPECT_EQ(other.status, 400) << other.body;
  EXPECT_EQ(other.Json().at("errors").at(0).at("pointer"), "/input/path");
  EXPECT_EQ(client.Get("/v1/jobs").at("jobs").size(), 1u);
}

TEST_F(IdempotencyTest, ADifferentRequestUnderAUsedKeyIsRefused) {
  Service& service = BeginWithUpload();
  ASSERT_EQ(service.client().http().Send(Submission()).status, 202);
  HttpCall other = Submission();
  json body = json::parse(other.body);
  body["priority"] = 99;
  other.body = body.dump();
  const HttpAnswer answer = service.client().http().Send(other);
  EXPECT_EQ(answer.status, 422) << answer.body;
  EXPECT_EQ(answer.Json().at("code"), "idempotency_conflict");
  ExpectOneJob(service);
}

}  // namespace
}  // namespace millrace::harness
