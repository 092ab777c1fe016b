// `millrace submit` with lost and late answers: one command makes one job.

#include <gmock/gmock.h>

#include "tests/cli/client/commands_fixture.h"

namespace millrace::cli {
namespace {

using testing::HasSubstr;
using testing::MatchesRegex;
using testing::Not;

class SubmitRepeatTest : public CommandsTest {
 protected:
  // Submits an existing upload. The fake service gives these answers in turn, and repeats the last.
  ProgramResult Submit(const std::vector<FakeHttpReply>& replies,
                       std::vector<std::string> options = {}) {
    std::vector<std::string> arguments = {"submit", "upl_1", "--preset", "p"};
    arguments.insert(arguments.end(), options.begin(), options.end());
    size_t asked = 0;
    return Run(arguments, [replies, asked](const FakeHttpRequest&) mutable {
      return replies.at(std::min(asked++, replies.size() - 1));
    });
  }

  std::string KeyOf(size_t request) { return requests_.at(request).headers["idempotency-key"]; }

  static FakeHttpReply Lost() { return {.status = 0, .body = "", .headers = {}}; }
  static FakeHttpReply Busy(ErrorCode code, const std::string& retry_after) {
    FakeHttpReply reply = Problem(Error(code, "come back later"));
    reply.headers = {"Retry-After: " + retry_after};
    return reply;
  }
};

TEST_F(SubmitRepeatTest, RepeatsARequestUnderTheSameKey) {
  const ProgramResult result = Submit({Lost(), Lost(), Json(202, JobIn("queued"))});
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_EQ(result.out, "job_01\n");
  ASSERT_EQ(requests_.size(), 3);
  EXPECT_THAT(KeyOf(0), MatchesRegex("\"key_[0-9a-f]{32}\""));
  EXPECT_EQ(KeyOf(1), KeyOf(0));
  EXPECT_EQ(KeyOf(2), KeyOf(0));
  EXPECT_EQ(requests_[2].body, requests_[0].body);
  EXPECT_THAT(result.err, HasSubstr("did not come: "));
  EXPECT_THAT(result.err, HasSubstr("; asking again in "));
}

TEST_F(SubmitRepeatTest, EachCommandHasItsOwnKey) {
  Submit({Json(202, JobIn("queued"))});
  const std::string first = KeyOf(0);
  Submit({Json(202, JobIn("queued"))});
  EXPECT_NE(KeyOf(0), first);
}

TEST_F(SubmitRepeatTest, WaitsAsLongAsAFullServiceAsks) {
  const ProgramResult result =
      Submit({Busy(ErrorCode::kQueueFull, "1"), Json(202, JobIn("queued"))});
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.out, "job_01\n");
  EXPECT_EQ(result.err, "millrace: come back later; asking again in 1.0 s\n");
}

TEST_F(SubmitRepeatTest, GivesUpAtOnceIfRetryAfterExceedsItsPatience) {
  const ProgramResult result = Submit({Busy(ErrorCode::kQueueFull, "900")});
  EXPECT_EQ(result.status, 4);
  EXPECT_EQ(requests_.size(), 1);
  EXPECT_EQ(result.err, "millrace: come back later (queue_full)\n");
}

TEST_F(SubmitRepeatTest, GivingUpNamesTheKeyOfAJobThatMayExist) {
  const ProgramResult result =
      Submit({Lost()}, {"--retry-for", "0", "--idempotency-key", "order-\"7\""});
  EXPECT_EQ(result.status, 4);
  EXPECT_EQ(result.out, "");
  ASSERT_EQ(requests_.size(), 1);
  EXPECT_EQ(KeyOf(0), R"("order-\"7\"")");
  EXPECT_THAT(result.err, HasSubstr("The job may exist nevertheless."));
  EXPECT_THAT(
      result.err,
      HasSubstr("millrace submit upl_1 --idempotency-key 'order-\"7\"' --url http://127.0.0.1:"));
}

TEST_F(SubmitRepeatTest, AnUnreachableBrokerMayHaveAcceptedTheJob) {
  const ProgramResult result =
      Submit({Busy(ErrorCode::kBrokerUnavailable, "1")}, {"--retry-for", "0"});
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, HasSubstr("come back later (broker_unavailable)"));
  EXPECT_THAT(result.err, HasSubstr("The job may exist nevertheless."));
}

TEST_F(SubmitRepeatTest, AFullDiskOfTheServiceExitsWithFour) {
  const ProgramResult result = Submit({Busy(ErrorCode::kStorageFull, "30")}, {"--retry-for", "0"});
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, Not(HasSubstr("may exist")));
}

TEST_F(SubmitRepeatTest, DoesNotRepeatARefusedRequest) {
  const ProgramResult result = Submit(
      {Problem(Error(ErrorCode::kIdempotencyConflict, "the key was used for another request"))});
  EXPECT_EQ(result.status, 2);
  EXPECT_EQ(requests_.size(), 1);
}

TEST_F(SubmitRepeatTest, GivesUpAtOnceIfNoServiceIsRunning) {
  uint16_t free_port = 0;
  {
    const FakeHttpServer gone([](const FakeHttpRequest&) { return FakeHttpReply{}; });
    free_port = gone.port();
  }
  const ProgramResult result = RunMillrace({"submit", "upl_1", "--preset", "p", "--url",
                                            "http://127.0.0.1:" + std::to_string(free_port)});
  EXPECT_EQ(result.status, 4);
  EXPECT_THAT(result.err, HasSubstr("'millrace up' starts it"));
  EXPECT_THAT(result.err, Not(HasSubstr("asking again")));
}

TEST_F(SubmitRepeatTest, RefusesAnInvalidKeyBeforeTheUpload) {
  for (const std::string& key :
       {std::string("two words"), std::string("a\nb"), std::string("ü"), std::string(256, 'k')}) {
    const ProgramResult result = Submit({Json(202, JobIn("queued"))}, {"--idempotency-key", key});
    EXPECT_EQ(result.status, 2) << key;
    EXPECT_TRUE(requests_.empty()) << key;
    EXPECT_THAT(result.err, HasSubstr("--idempotency-key takes 1 to 255 visible ASCII"));
  }
}

TEST_F(SubmitRepeatTest, SendsForce) {
  Submit({Json(202, JobIn("queued"))}, {"--force"});
  EXPECT_EQ(json::parse(requests_.at(0).body).at("force"), true);
}

}  // namespace
}  // namespace millrace::cli
