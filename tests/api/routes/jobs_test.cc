#include "core/model/message.h"
#include "tests/api/routes/api_fixture.h"

namespace millrace::api {
namespace {

class ApiJobsTest : public ApiTest {
 protected:
  void BrokerShows(JobState state, int percent = 0) {
    broker_.On(message::kGetJob, [=](const nlohmann::json& body) -> ScriptedBroker::Reply {
      return nlohmann::json{{"job", JobInState(body.at("job_id"), state, percent)},
                            {"published_fence", state == JobState::kSucceeded ? 7 : 0}};
    });
  }

  const std::string id_ = NewJobId();
  const std::string path_ = "/v1/jobs/" + id_;
};

TEST_F(ApiJobsTest, ShowsAJobWithItsLinks) {
  BrokerShows(JobState::kSucceeded);
  const RawReply reply = Get(path_);
  ASSERT_EQ(reply.status, 200) << reply.body;
  const nlohmann::json job = Body(reply);
  EXPECT_EQ(job["id"], id_);
  EXPECT_EQ(job["progress"]["percent"], 100);
  EXPECT_EQ(job["links"], (nlohmann::json{{"self", path_},
                                          {"attempts", path_ + "/attempts"},
                                          {"events", path_ + "/events"}}));
  EXPECT_EQ(job["outputs"][0]["files"][0]["url"], path_ + "/outputs/web.mp4");
  EXPECT_EQ(job["outputs"][0]["files"][1]["url"], path_ + "/outputs/web/pic%201.jpg");
  EXPECT_EQ(reply.Header("Retry-After"), "");
}

TEST_F(ApiJobsTest, LeadsFromADeadJobToItsLetter) {
  BrokerShows(JobState::kDead);
  EXPECT_EQ(Body(Get(path_))["links"]["dead_letter"], "/v1/dead-letters/" + id_);
}

TEST_F(ApiJobsTest, TellsWhenToAskAgainWhileTheJobRuns) {
  BrokerShows(JobState::kRunning, 10);
  EXPECT_EQ(Get(path_).Header("Retry-After"), "1");
}

TEST_F(ApiJobsTest, SendsAnUnchangedJobOnlyOnce) {
  BrokerShows(JobState::kRunning, 10);
  const std::string etag = Get(path_).Header("ETag");
  ASSERT_NE(etag, "");
  const RawReply same = Get(path_, "If-None-Match: " + etag + "\r\n");
  EXPECT_EQ(same.status, 304);
  EXPECT_EQ(same.body, "");
  EXPECT_EQ(same.Header("ETag"), etag);
  BrokerShows(JobState::kRunning, 11);
  const RawReply changed = Get(path_, "If-None-Match: " + etag + "\r\n");
  EXPECT_EQ(changed.status, 200);
  EXPECT_NE(changed.Header("ETag"), etag);
}

TEST_F(ApiJobsTest, AnswersHeadWithoutABody) {
  BrokerShows(JobState::kRunning, 10);
  const RawReply reply = Ask("HEAD " + path_ + " HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "");
  EXPECT_NE(reply.Header("ETag"), "");
}

TEST_F(ApiJobsTest, HoldsALongPollUntilSomethingChanges) {
  BrokerShows(JobState::kRunning, 10);
  const std::string etag = Get(path_).Header("ETag");
  RawHttpClient client = Connect();
  client.Send("GET " + path_ + " HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\nIf-None-Match: " + etag +
              "\r\n\r\n");
  broker_.Request(message::kGetJob, 2);
  BrokerShows(JobState::kRunning, 11);
  PublishProgress(id_, 11);
  const RawReply reply = client.ReadReply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Body(reply)["progress"]["percent"], 11);
  EXPECT_EQ(reply.Header("Preference-Applied"), "wait=60");
}

TEST_F(ApiJobsTest, WithoutATagTheWaitIsForTheEnd) {
  BrokerShows(JobState::kRunning, 10);
  RawHttpClient client = Connect();
  client.Send("GET " + path_ + " HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\n\r\n");
  broker_.Request(message::kGetJob, 1);
  BrokerShows(JobState::kRunning, 11);
  PublishProgress(id_, 11);
  BrokerShows(JobState::kDead);
  PublishEvent(id_, 3, "dead");
  const RawReply reply = client.ReadReply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Body(reply)["state"], "dead");
}

TEST_F(ApiJobsTest, ALongPollEndsUnchangedWhenItsTimeIsOver) {
  BrokerShows(JobState::kRunning, 10);
  const std::string etag = Get(path_).Header("ETag");
  const RawReply reply = Get(path_, "Prefer: wait=1\r\nIf-None-Match: " + etag + "\r\n");
  EXPECT_EQ(reply.status, 304);
}

TEST_F(ApiJobsTest, ALongPollOnAFinishedJobEndsAtOnce) {
  BrokerShows(JobState::kSucceeded);
  const std::string etag = Get(path_).Header("ETag");
  EXPECT_EQ(Get(path_, "Prefer: wait=60\r\nIf-None-Match: " + etag + "\r\n").status, 304);
  EXPECT_EQ(Get(path_, "Prefer: wait=60\r\n").status, 200);
}

TEST_F(ApiJobsTest, FindsAChangeWhoseEventWasLost) {
  BrokerShows(JobState::kRunning, 10);
  RawHttpClient client = Connect();
  client.Send("GET " + path_ + " HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\n\r\n");
  broker_.Request(message::kGetJob, 1);
  BrokerShows(JobState::kSucceeded);
  EXPECT_EQ(Body(client.ReadReply())["state"], "succeeded");
}

TEST_F(ApiJobsTest, ALongPollOutlivesARestartOfTheBroker) {
  BrokerShows(JobState::kRunning, 10);
  RawHttpClient client = Connect();
  client.Send("GET " + path_ + " HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\n\r\n");
  broker_.Request(message::kGetJob, 1);
  broker_.Stop();
  BrokerShows(JobState::kSucceeded);
  broker_.Start();
  PublishEvent(id_, 3, "succeeded");
  EXPECT_EQ(Body(client.ReadReply())["state"], "succeeded");
}

TEST_F(ApiJobsTest, DrainingEndsTheLongPolls) {
  BrokerShows(JobState::kRunning, 10);
  RawHttpClient client = Connect();
  client.Send("GET " + path_ + " HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\n\r\n");
  broker_.Request(message::kGetJob, 1);
  api_->Drain();
  const RawReply reply = client.ReadReply();
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Body(reply)["state"], "running");
}

TEST_F(ApiJobsTest, ForgetsALongPollWhoseClientHasGone) {
  BrokerShows(JobState::kRunning, 10);
  RawHttpClient client = Connect();
  client.Send("GET " + path_ + " HTTP/1.1\r\nHost: x\r\nPrefer: wait=60\r\n\r\n");
  broker_.Request(message::kGetJob, 1);
  client.Reset();
  const auto deadline = std::chrono::steady_clock::now() + RawHttpClient::kPatience;
  while (server_->open_connections() > 0 && std::chrono::steady_clock::now() < deadline) {
    std::this_thread::yield();
  }
  EXPECT_EQ(server_->open_connections(), 0u);
  EXPECT_EQ(Get(path_).status, 200);
}

TEST_F(ApiJobsTest, SaysThatThereIsNoSuchJob) {
  broker_.On(message::kGetJob, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return Error(ErrorCode::kJobNotFound, "there is no such job");
  });
  ExpectProblem(Get(path_), 404, "job_not_found");
  ExpectProblem(Get(path_, "Prefer: wait=60\r\n"), 404, "job_not_found");
  // The api refuses a text that is no id without asking the broker.
  broker_.Stop();
  ExpectProblem(Get("/v1/jobs/nonsense"), 404, "job_not_found");
}

TEST_F(ApiJobsTest, RefusesParametersThatItDoesNotKnow) {
  const RawReply reply = Get(path_ + "?wait=5");
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Pointers(reply), testing::ElementsAre("/wait"));
}

TEST_F(ApiJobsTest, AnswersThatTheBrokerIsAwayAndRecovers) {
  BrokerShows(JobState::kQueued);
  broker_.Stop();
  const RawReply away = Get(path_);
  ExpectProblem(away, 503, "broker_unavailable");
  EXPECT_EQ(away.Header("Retry-After"), "1");
  EXPECT_EQ(Body(away)["retryable"], true);
  ExpectProblem(Get(path_, "Prefer: wait=60\r\n"), 503, "broker_unavailable");
  broker_.Start();
  const auto deadline = std::chrono::steady_clock::now() + RawHttpClient::kPatience;
  int status = 0;
  while (status != 200 && std::chrono::steady_clock::now() < deadline) status = Get(path_).status;
  EXPECT_EQ(status, 200);
}

TEST_F(ApiJobsTest, SurvivesARequestThatMeetsARestart) {
  options_.broker.deadline = std::chrono::seconds(20);
  Start();
  BrokerShows(JobState::kQueued);
  broker_.Stop();
  RawHttpClient client = Connect();
  client.Send("GET " + path_ + " HTTP/1.1\r\nHost: x\r\n\r\n");
  broker_.Start();
  EXPECT_EQ(client.ReadReply().status, 200);
}

TEST_F(ApiJobsTest, ShowsTheAttempts) {
  const nlohmann::json attempts = {{{"task", "tsk_1"}, {"fence", 3}, {"outcome", "failed"}}};
  broker_.On(message::kAttempts, [attempts](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json{{"attempts", attempts}};
  });
  const RawReply reply = Get(path_ + "/attempts");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Body(reply)["attempts"], attempts);
  EXPECT_EQ(broker_.Request(message::kAttempts)["job_id"], id_);
}

TEST_F(ApiJobsTest, CancelsAJob) {
  broker_.On(message::kCancel, [](const nlohmann::json& body) -> ScriptedBroker::Reply {
    return nlohmann::json{{"job", JobInState(body.at("job_id"), JobState::kCancelling)}};
  });
  const RawReply bare = Ask("POST " + path_ + "/cancel HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(bare.status, 202) << bare.body;
  EXPECT_EQ(Body(bare)["state"], "cancelling");
  EXPECT_EQ(broker_.Request(message::kCancel)["job_id"], id_);
  EXPECT_EQ(Post(path_ + "/cancel", nlohmann::json::object()).status, 202);
  ExpectProblem(Post(path_ + "/cancel", {{"force", true}}), 400, "invalid_request");
}

TEST_F(ApiJobsTest, RefusesToCancelAFinishedJob) {
  broker_.On(message::kCancel, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return Error(ErrorCode::kJobFinished, "the job has succeeded");
  });
  ExpectProblem(Ask("POST " + path_ + "/cancel HTTP/1.1\r\nHost: x\r\n\r\n"), 409, "job_finished");
}

}  // namespace
}  // namespace millrace::api
