#include "core/model/message.h"
#include "tests/api/routes/api_fixture.h"

namespace millrace::api {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;

class ApiIdempotencyTest : public ApiTest {
 protected:
  ApiIdempotencyTest() {
    broker_.On(message::kSubmit, [](const nlohmann::json& body) -> ScriptedBroker::Reply {
      return nlohmann::json{{"job", JobInState(body.at("job_id"), JobState::kQueued)}};
    });
  }

  std::string BodyText() const {
    return R"({"input": {"upload": ")" + upload_ +
           R"("}, "outputs": [{"name": "web", "preset": "poster"}], "clip": {"start_seconds": 2}})";
  }
  RawReply Submit(const std::string& body, const std::string& key_field) {
    return Ask(PostText("/v1/jobs", body, "Idempotency-Key: " + key_field + "\r\n"));
  }
  // Returns the body of the `nth` submission that the broker received.
  nlohmann::json Told(size_t nth) { return broker_.Request(message::kSubmit, nth); }

  const std::string upload_ = Upload("hello");
};

TEST_F(ApiIdempotencyTest, GivesTheBrokerTheKeyAndAFingerprintOfTheBody) {
  ASSERT_EQ(Submit(BodyText(), "order-42/a").status, 202);
  EXPECT_EQ(Told(1)["idempotency_key"], "order-42/a");
  EXPECT_THAT(Told(1)["fingerprint"].get<std::string>(), MatchesRegex("[0-9a-f]{64}"));
}

TEST_F(ApiIdempotencyTest, SaysNothingOfKeysWithoutTheHeader) {
  ASSERT_EQ(Ask(PostText("/v1/jobs", BodyText())).status, 202);
  EXPECT_FALSE(Told(1).contains("idempotency_key"));
  EXPECT_FALSE(Told(1).contains("fingerprint"));
}

TEST_F(ApiIdempotencyTest, TakesBothFormsOfAKeyForTheSame) {
  ASSERT_EQ(Submit(BodyText(), R"(say"hi"\now)").status, 202);
  ASSERT_EQ(Submit(BodyText(), R"("say\"hi\"\\now")").status, 202);
  EXPECT_EQ(Told(1)["idempotency_key"], R"(say"hi"\now)");
  EXPECT_EQ(Told(2)["idempotency_key"], Told(1)["idempotency_key"]);
}

TEST_F(ApiIdempotencyTest, GivesEqualBodiesOneFingerprint) {
  ASSERT_EQ(Submit(BodyText(), "k").status, 202);
  const std::string again = R"({ "clip" : {"start_seconds":2.0e0},
      "outputs":[{"preset":"poster","name":"we\u0062"}],"input":{"upload":")" +
                            upload_ + "\"}}";
  ASSERT_EQ(Submit(again, "k").status, 202);
  EXPECT_EQ(Told(2)["fingerprint"], Told(1)["fingerprint"]);
}

TEST_F(ApiIdempotencyTest, GivesDifferentBodiesDifferentFingerprints) {
  ASSERT_EQ(Submit(BodyText(), "k").status, 202);
  for (const auto& [pointer, value] : std::vector<std::pair<std::string, nlohmann::json>>{
           {"/clip/start_seconds", 2.5}, {"/clip", nullptr}, {"/force", false}}) {
    nlohmann::json body = nlohmann::json::parse(BodyText());
    body[nlohmann::json::json_pointer(pointer)] = value;
    ASSERT_EQ(Submit(body.dump(), "k").status, 202);
    const size_t nth = broker_.Requests(message::kSubmit).size();
    EXPECT_NE(Told(nth)["fingerprint"], Told(1)["fingerprint"]) << body;
  }
}

TEST_F(ApiIdempotencyTest, RefusesWhatIsNoKey) {
  const std::string most(255, 'k');
  EXPECT_EQ(Submit(BodyText(), most).status, 202);
  EXPECT_EQ(Submit(BodyText(), "\"" + most + "\"").status, 202);
  const size_t accepted = broker_.Requests(message::kSubmit).size();
  for (const std::string& wrong :
       {std::string(), std::string("\"\""), most + "k", std::string("two words"),
        std::string("\"two words\""), std::string("\"open"), std::string("\"a\"b"),
        std::string("\"a\\n\""), std::string("\"a\\"), std::string("caf\xc3\xa9"),
        std::string("a\r\nIdempotency-Key: b")}) {
    const RawReply reply = Submit(BodyText(), wrong);
    SCOPED_TRACE(wrong);
    ExpectProblem(reply, 400, "invalid_request");
    EXPECT_THAT(Body(reply)["detail"].get<std::string>(), HasSubstr("Idempotency-Key"));
  }
  EXPECT_EQ(broker_.Requests(message::kSubmit).size(), accepted);
}

TEST_F(ApiIdempotencyTest, AnswersWithTheJobThatTheKeyHasMade) {
  const std::string earlier = NewJobId();
  broker_.On(message::kSubmit, [=](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json{{"job", JobInState(earlier, JobState::kSucceeded)}};
  });
  const RawReply reply = Submit(BodyText(), "k");
  EXPECT_EQ(reply.status, 202) << reply.body;
  EXPECT_EQ(reply.Header("Location"), "/v1/jobs/" + earlier);
  EXPECT_EQ(reply.Header("Retry-After"), "") << "there is nothing to wait for";
  EXPECT_EQ(Body(reply)["id"], earlier);
}

TEST_F(ApiIdempotencyTest, PassesOnThatTheKeyWasUsedForAnotherRequest) {
  broker_.On(message::kSubmit, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return Error(ErrorCode::kIdempotencyConflict, "the key was used for another request");
  });
  const RawReply reply = Submit(BodyText(), "k");
  ExpectProblem(reply, 422, "idempotency_conflict");
  EXPECT_EQ(Body(reply)["retryable"], false);
}

TEST_F(ApiIdempotencyTest, FindsTheJobOfAKeyAlthoughItsInputIsGone) {
  std::filesystem::remove_all(options_.media.data_dir / "uploads" / upload_);
  const std::string earlier = NewJobId();
  broker_.On(message::kSubmit, [=](const nlohmann::json& body) -> ScriptedBroker::Reply {
    if (body.at("deadline_unix_ms") != 0) return Error(ErrorCode::kInternal, "it made a new job");
    return nlohmann::json{{"job", JobInState(earlier, JobState::kSucceeded)}};
  });
  const RawReply reply = Submit(BodyText(), "k");
  EXPECT_EQ(reply.status, 202) << reply.body;
  EXPECT_EQ(Body(reply)["id"], earlier);
}

TEST_F(ApiIdempotencyTest, SaysThatTheInputIsGoneIfNoJobHasTheKey) {
  std::filesystem::remove_all(options_.media.data_dir / "uploads" / upload_);
  broker_.On(message::kSubmit, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return Error(ErrorCode::kDeadlineExceeded, "the submission came after its deadline");
  });
  const RawReply reply = Submit(BodyText(), "k");
  ExpectProblem(reply, 404, "upload_not_found");
  EXPECT_THAT(Pointers(reply), testing::ElementsAre("/input/upload"));
}

}  // namespace
}  // namespace millrace::api
