#include "core/model/message.h"
#include "tests/api/routes/api_fixture.h"

namespace millrace::api {
namespace {

using ApiServiceTest = ApiTest;

TEST_F(ApiServiceTest, IsAliveWithoutABroker) {
  broker_.Stop();
  const RawReply reply = Get("/livez");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Body(reply)["status"], "alive");
}

TEST_F(ApiServiceTest, IsReadyWhenTheBrokerTakesWork) {
  broker_.On(message::kPing, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json{{"version", "1.2.3"}, {"accepting", true}, {"reason", ""}};
  });
  const RawReply reply = Get("/readyz");
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(Body(reply)["broker"]["version"], "1.2.3");
}

TEST_F(ApiServiceTest, IsNotReadyWhenTheBrokerRefusesOrIsAway) {
  broker_.On(message::kPing, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json{{"version", "1.2.3"}, {"accepting", false}, {"reason", "disk full"}};
  });
  const RawReply refused = Get("/readyz");
  ExpectProblem(refused, 503, "broker_unavailable");
  EXPECT_THAT(Body(refused)["detail"].get<std::string>(), testing::HasSubstr("disk full"));
  EXPECT_NE(refused.Header("Retry-After"), "");
  broker_.Stop();
  ExpectProblem(Get("/readyz"), 503, "broker_unavailable");
}

TEST_F(ApiServiceTest, IsNotReadyWhileItDrains) {
  api_->Drain();
  ExpectProblem(Get("/readyz"), 503, "draining");
  EXPECT_EQ(Get("/livez").status, 200);
}

TEST_F(ApiServiceTest, ShowsQueueAndWorkers) {
  const nlohmann::json queue = {{"queued", 3}, {"running", 1}};
  const nlohmann::json workers = {{"workers", {{{"name", "host/1"}}}}};
  broker_.On(message::kQueue,
             [queue](const nlohmann::json&) -> ScriptedBroker::Reply { return queue; });
  broker_.On(message::kWorkers,
             [workers](const nlohmann::json&) -> ScriptedBroker::Reply { return workers; });
  EXPECT_EQ(Body(Get("/v1/queue")), queue);
  EXPECT_EQ(Body(Get("/v1/workers")), workers);
  ExpectProblem(Get("/v1/queue?x=1"), 400, "invalid_request");
}

TEST_F(ApiServiceTest, DescribesEveryCallInOpenApi) {
  const RawReply reply = Get("/openapi.json");
  ASSERT_EQ(reply.status, 200);
  const nlohmann::json document = Body(reply);
  EXPECT_EQ(document.value("openapi", ""), "3.1.0");
  std::vector<std::string> calls;
  for (const auto& [path, item] : document.at("paths").items()) {
    for (const auto& [method, operation] : item.items()) {
      if (method != "parameters") calls.push_back(method + " " + path);
    }
  }
  EXPECT_THAT(
      calls,
      testing::UnorderedElementsAre(
          "put /v1/uploads/{name}", "get /v1/uploads/{name}", "post /v1/jobs", "get /v1/jobs",
          "get /v1/jobs/{id}", "get /v1/jobs/{id}/attempts", "get /v1/jobs/{id}/events",
          "post /v1/jobs/{id}/cancel", "get /v1/jobs/{id}/outputs/{path}",
          "head /v1/jobs/{id}/outputs/{path}", "get /v1/dead-letters", "get /v1/dead-letters/{job}",
          "delete /v1/dead-letters/{job}", "get /v1/dead-letters/{job}/log",
          "head /v1/dead-letters/{job}/log", "get /v1/dead-letters/{job}/input",
          "head /v1/dead-letters/{job}/input", "get /v1/dead-letters/{job}/files/{name}",
          "head /v1/dead-letters/{job}/files/{name}", "post /v1/dead-letters/{job}/redrive",
          "post /v1/dead-letters/redrive", "post /v1/dead-letters/purge", "get /v1/redrives/{id}",
          "post /v1/probe", "get /v1/presets", "get /v1/presets/{name}", "get /v1/queue",
          "get /v1/workers", "get /livez", "get /readyz", "get /openapi.json"));
}

TEST_F(ApiServiceTest, AnswersWhatItDoesNotHaveWithProblems) {
  ExpectProblem(Get("/v2/jobs"), 404, "not_found");
  const RawReply wrong_method = Ask("DELETE /v1/jobs HTTP/1.1\r\nHost: x\r\n\r\n");
  ExpectProblem(wrong_method, 405, "method_not_allowed");
  EXPECT_THAT(wrong_method.Header("Allow"), testing::HasSubstr("POST"));
}

TEST_F(ApiServiceTest, ExplainsNothingOfAFailureInside) {
  // A reply that breaks the protocol.
  broker_.On(message::kGetJob, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json{{"nonsense", 1}};
  });
  const RawReply reply = Get("/v1/jobs/" + NewJobId());
  ExpectProblem(reply, 500, "internal");
  EXPECT_THAT(reply.body, testing::Not(testing::HasSubstr("nlohmann")));
  EXPECT_THAT(reply.body, testing::Not(testing::HasSubstr("nonsense")));
}

}  // namespace
}  // namespace millrace::api
