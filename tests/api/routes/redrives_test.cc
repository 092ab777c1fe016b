#include "tests/api/routes/dead_letter_fixture.h"

// Dead jobs that are tried again.

namespace millrace::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class ApiRedrivesTest : public DeadLetterTest {
 protected:
  ApiRedrivesTest() {
    broker_.On(message::kRedrive, [](const nlohmann::json& body) -> ScriptedBroker::Reply {
      return nlohmann::json{{"job", JobInState(body.at("job_id"), JobState::kQueued)}};
    });
    broker_.On(message::kRedriveMany, [this](const nlohmann::json& body) -> ScriptedBroker::Reply {
      if (body.at("dry_run") == true) return nlohmann::json{{"count", 3}, {"redrive", nullptr}};
      return nlohmann::json{{"count", 3}, {"redrive", RedriveOf(body.at("redrive_id"))}};
    });
    broker_.On(message::kGetRedrive, [this](const nlohmann::json& body) -> ScriptedBroker::Reply {
      return nlohmann::json{{"redrive", RedriveOf(body.at("redrive_id"))}};
    });
    broker_.On(message::kPing, [](const nlohmann::json&) -> ScriptedBroker::Reply {
      return nlohmann::json{{"version", "1"}, {"accepting", true}, {"reason", ""}};
    });
  }
  nlohmann::json RedriveOf(const std::string& redrive_id) const {
    return {{"id", redrive_id},
            {"state", "waiting"},
            {"created_at", "2026-11-23T20:28:37.042Z"},
            {"canary", id_},
            {"waiting", 2}};
  }
  RawReply RedriveAll(const nlohmann::json& more, std::string_view headers = "") {
    nlohmann::json body = {{"filter", nlohmann::json::object()}};
    for (const auto& [name, value] : more.items()) body[name] = value;
    return Post(many_, body, headers);
  }

  const std::string many_ = "/v1/dead-letters/redrive";
};

TEST_F(ApiRedrivesTest, BeginsTheNextGenerationOfADeadJob) {
  const RawReply reply =
      Ask("POST " + path_ + "/redrive HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n");
  ASSERT_EQ(reply.status, 202) << reply.body;
  EXPECT_EQ(reply.Header("Location"), "/v1/jobs/" + id_);
  EXPECT_EQ(Body(reply)["state"], "queued");
  EXPECT_EQ(Body(reply)["links"]["self"], "/v1/jobs/" + id_);
  EXPECT_EQ(broker_.Request(message::kRedrive),
            (nlohmann::json{{"job_id", id_}, {"generation", 2}}));
}

TEST_F(ApiRedrivesTest, AsksForTheGenerationThatIsNamedSoThatARepetitionDoesNothing) {
  BrokerShows("redriven");
  EXPECT_EQ(Post(path_ + "/redrive", {{"generation", 2}}).status, 202);
  EXPECT_EQ(broker_.Request(message::kRedrive)["generation"], 2);
  EXPECT_TRUE(broker_.Requests(message::kGetDeadLetter).empty());
}

TEST_F(ApiRedrivesTest, RedrivesNothingThatHasLeftTheQueueSinceItWasListed) {
  for (const char* state : {"redriven", "purged", "expired"}) {
    BrokerShows(state);
    const RawReply reply = Post(path_ + "/redrive", nlohmann::json::object());
    ExpectProblem(reply, 404, "dead_letter_not_found");
    EXPECT_THAT(Body(reply)["detail"].get<std::string>(), HasSubstr(state));
  }
  EXPECT_TRUE(broker_.Requests(message::kRedrive).empty());
}

TEST_F(ApiRedrivesTest, PassesAPatchOnWithItsPresetsSpeltOut) {
  const nlohmann::json spec = {
      {"outputs", {{{"name", "web"}, {"preset", "mp4-h264-720p"}, {"audio", nullptr}}}},
      {"clip", nullptr}};
  ASSERT_EQ(Post(path_ + "/redrive", {{"spec", spec}, {"generation", 2}}).status, 202);
  const nlohmann::json patch = broker_.Request(message::kRedrive)["patch"];
  EXPECT_EQ(patch["outputs"][0]["video"]["height"], 720);
  EXPECT_FALSE(patch["outputs"][0].contains("audio"));
  ASSERT_TRUE(patch.contains("clip"));
  EXPECT_TRUE(patch["clip"].is_null()) << "null removes: it must reach the broker";
}

TEST_F(ApiRedrivesTest, NamesEveryWrongFieldOfAPatch) {
  const RawReply reply =
      Post(path_ + "/redrive",
           {{"spec",
             {{"outputs", {{{"name", "web"}, {"preset", "no-such"}}, {{"name", "a/b"}}}},
              {"priority", 5}}},
            {"generation", 0},
            {"now", true}});
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Pointers(reply),
              testing::IsSupersetOf({"/spec/outputs/0/preset", "/spec/outputs/1/name",
                                     "/spec/priority", "/generation", "/now"}));
  ExpectProblem(Post(path_ + "/redrive", {{"spec", "faster"}}), 400, "invalid_request");
  ExpectProblem(Post(path_ + "/redrive", nlohmann::json::array()), 400, "invalid_request");
  EXPECT_TRUE(broker_.Requests(message::kRedrive).empty());
}

TEST_F(ApiRedrivesTest, PassesTheBrokersRefusalOn) {
  broker_.On(message::kRedrive, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return Error(std::vector<FieldError>{{"/spec/clip", "must be an object"}});
  });
  const RawReply reply = Post(path_ + "/redrive", {{"generation", 2}});
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Pointers(reply), ElementsAre("/spec/clip"));
  BrokerRefuses(message::kRedrive, ErrorCode::kQueueFull);
  const RawReply full = Post(path_ + "/redrive", {{"generation", 2}});
  ExpectProblem(full, 503, "queue_full");
  EXPECT_NE(full.Header("Retry-After"), "");
  BrokerRefuses(message::kGetDeadLetter, ErrorCode::kDeadLetterNotFound);
  ExpectProblem(Post(path_ + "/redrive", nlohmann::json::object()), 404, "dead_letter_not_found");
  ExpectProblem(Post("/v1/dead-letters/job_1/redrive", nlohmann::json::object()), 404,
                "dead_letter_not_found");
}

TEST_F(ApiRedrivesTest, RedrivesAllThatAFilterFindsBehindACanary) {
  const nlohmann::json filter = {{"code", "stalled"},
                                 {"blame", "media"},
                                 {"signature", "5d"},
                                 {"stage", "decode"},
                                 {"worker", "host/1"},
                                 {"died_after", "2026-11-23T00:00:00Z"},
                                 {"died_before", "2026-11-24T00:00:00Z"}};
  const RawReply reply = Post(
      many_, {{"filter", filter}, {"canary", true}, {"spec", {{"clip", {{"start_seconds", 1}}}}}});
  ASSERT_EQ(reply.status, 202) << reply.body;
  const nlohmann::json asked = broker_.Request(message::kRedriveMany);
  EXPECT_EQ(asked["filter"], filter);
  EXPECT_EQ(asked["canary"], true);
  EXPECT_EQ(asked["dry_run"], false);
  EXPECT_EQ(asked["patch"], (nlohmann::json{{"clip", {{"start_seconds", 1}}}}));
  const std::string id = asked["redrive_id"];
  EXPECT_TRUE(IsId(id, "rdr_")) << id;
  nlohmann::json redrive = RedriveOf(id);
  redrive["links"] = {{"self", "/v1/redrives/" + id}};
  EXPECT_EQ(Body(reply), (nlohmann::json{{"count", 3}, {"redrive", redrive}}));
  EXPECT_EQ(reply.Header("Location"), "/v1/redrives/" + id);
}

TEST_F(ApiRedrivesTest, OnlyCountsInADryRun) {
  const RawReply reply = RedriveAll({{"dry_run", true}});
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(Body(reply), (nlohmann::json{{"count", 3}}));
  EXPECT_EQ(broker_.Request(message::kRedriveMany)["dry_run"], true);
  EXPECT_FALSE(broker_.Request(message::kRedriveMany).contains("patch"));
}

TEST_F(ApiRedrivesTest, HasNoRedriveWhereNothingWasFound) {
  broker_.On(message::kRedriveMany, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json{{"count", 0}, {"redrive", nullptr}};
  });
  const RawReply reply = RedriveAll({});
  EXPECT_EQ(reply.status, 202);
  EXPECT_EQ(Body(reply), (nlohmann::json{{"count", 0}, {"redrive", nullptr}}));
  EXPECT_EQ(reply.Header("Location"), "");
}

TEST_F(ApiRedrivesTest, IsOneRedriveUnderOneKey) {
  RedriveAll({}, "Idempotency-Key: a\r\n");
  RedriveAll({}, "Idempotency-Key: \"a\"\r\n");
  RedriveAll({}, "Idempotency-Key: b\r\n");
  RedriveAll({});
  RedriveAll({{"dry_run", true}}, "Idempotency-Key: a\r\n");
  const auto id = [&](size_t nth) -> std::string {
    return broker_.Request(message::kRedriveMany, nth)["redrive_id"];
  };
  EXPECT_TRUE(IsId(id(1), "rdr_")) << id(1);
  EXPECT_EQ(id(2), id(1));
  EXPECT_NE(id(3), id(1));
  EXPECT_NE(id(4), id(1));
  EXPECT_NE(id(5), id(1)) << "a dry run would be told of the redrive that was";
  ExpectProblem(RedriveAll({}, "Idempotency-Key: two words\r\n"), 400, "invalid_request");
}

TEST_F(ApiRedrivesTest, RedrivesNothingThatWasNotAskedFor) {
  struct Case {
    nlohmann::json body;
    std::vector<std::string> complaints;
  };
  const Case cases[] = {
      {nlohmann::json::object(), {"/filter"}},
      {{{"filter", nlohmann::json::array()}}, {"/filter"}},
      {{{"filter", {{"signature", nullptr}}}}, {"/filter/signature"}},
      {{{"filter", {{"job", "job_1"}, {"blame", "me"}}}, {"canary", 1}, {"limit", 5}},
       {"/filter/job", "/filter/blame", "/canary", "/limit"}},
      {{{"filter", nlohmann::json::object()}, {"spec", {{"outputs", nlohmann::json::array()}}}},
       {"/spec/outputs"}},
  };
  for (const Case& wrong : cases) {
    const RawReply reply = Post(many_, wrong.body);
    SCOPED_TRACE(wrong.body.dump());
    ExpectProblem(reply, 400, "invalid_request");
    EXPECT_THAT(Pointers(reply), testing::UnorderedElementsAreArray(wrong.complaints));
  }
  ExpectProblem(Ask("POST " + many_ + " HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"), 415,
                "unsupported_media_type");
  EXPECT_TRUE(broker_.Requests(message::kRedriveMany).empty());
}

TEST_F(ApiRedrivesTest, ShowsARedrive) {
  const std::string id = NewId("rdr_");
  nlohmann::json redrive = RedriveOf(id);
  redrive["links"] = {{"self", "/v1/redrives/" + id}};
  EXPECT_EQ(Body(Get("/v1/redrives/" + id)), redrive);
  ExpectProblem(Get("/v1/redrives/rdr_1"), 404, "redrive_not_found");
  BrokerRefuses(message::kGetRedrive, ErrorCode::kRedriveNotFound);
  ExpectProblem(Get("/v1/redrives/" + id), 404, "redrive_not_found");
}

TEST_F(ApiRedrivesTest, SaysAtOnceThatTheBrokerIsAway) {
  broker_.Stop();
  ExpectProblem(RedriveAll({}), 503, "broker_unavailable");
  ExpectProblem(Post(path_ + "/redrive", nlohmann::json::object()), 503, "broker_unavailable");
  ExpectProblem(Get("/v1/redrives/" + NewId("rdr_")), 503, "broker_unavailable");
}

}  // namespace
}  // namespace millrace::api
