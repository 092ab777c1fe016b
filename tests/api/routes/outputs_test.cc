#include "core/model/message.h"
#include "tests/api/routes/api_fixture.h"

namespace millrace::api {
namespace {

class ApiOutputsTest : public ApiTest {
 protected:
  ApiOutputsTest() {
    BrokerShows(JobState::kSucceeded, 7);
    const auto folder = options_.media.data_dir / "outputs" / id_ / "7";
    std::filesystem::create_directories(folder / "web");
    std::ofstream(folder / "web.mp4") << "0123456789";
    std::ofstream(folder / "web" / "pic 1.jpg") << "jpg";
    std::ofstream(folder / "not-in-the-manifest") << "x";
  }
  void BrokerShows(JobState state, int fence) {
    broker_.On(message::kGetJob, [=](const nlohmann::json& body) -> ScriptedBroker::Reply {
      return nlohmann::json{{"job", JobInState(body.at("job_id"), state)},
                            {"published_fence", fence}};
    });
  }

  const std::string id_ = NewJobId();
  const std::string path_ = "/v1/jobs/" + id_ + "/outputs/";
};

TEST_F(ApiOutputsTest, SendsAFileWithItsTypeAndHash) {
  const RawReply reply = Get(path_ + "web.mp4");
  EXPECT_EQ(reply.status, 200);
  EXPECT_EQ(reply.body, "0123456789");
  EXPECT_EQ(reply.Header("Content-Type"), "video/mp4");
  EXPECT_EQ(reply.Header("ETag"), "\"0a1b\"");
  EXPECT_EQ(reply.Header("Accept-Ranges"), "bytes");
  const RawReply picture = Get(path_ + "web/pic%201.jpg");
  EXPECT_EQ(picture.body, "jpg");
  EXPECT_EQ(picture.Header("Content-Type"), "image/jpeg");
}

TEST_F(ApiOutputsTest, SendsRanges) {
  const RawReply part = Get(path_ + "web.mp4", "Range: bytes=2-4\r\n");
  EXPECT_EQ(part.status, 206);
  EXPECT_EQ(part.body, "234");
  EXPECT_EQ(part.Header("Content-Range"), "bytes 2-4/10");
  EXPECT_EQ(Get(path_ + "web.mp4", "Range: bytes=-2\r\n").body, "89");
  EXPECT_EQ(Get(path_ + "web.mp4", "Range: bytes=8-\r\n").body, "89");
  const RawReply beyond = Get(path_ + "web.mp4", "Range: bytes=10-\r\n");
  ExpectProblem(beyond, 416, "range_not_satisfiable");
  EXPECT_EQ(beyond.Header("Content-Range"), "bytes */10");
}

TEST_F(ApiOutputsTest, AnswersHeadAndConditionalRequests) {
  const RawReply head = Ask("HEAD " + path_ + "web.mp4 HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_EQ(head.status, 200);
  EXPECT_EQ(head.Header("Content-Length"), "10");
  EXPECT_EQ(head.body, "");
  EXPECT_EQ(Get(path_ + "web.mp4", "If-None-Match: \"0a1b\"\r\n").status, 304);
}

TEST_F(ApiOutputsTest, AsksTheBrokerOnceForManyRanges) {
  for (int i = 0; i < 5; ++i) EXPECT_EQ(Get(path_ + "web.mp4", "Range: bytes=0-0\r\n").status, 206);
  EXPECT_EQ(broker_.Requests(message::kGetJob).size(), 1u);
}

TEST_F(ApiOutputsTest, SendsNothingThatTheJobDoesNotList) {
  ExpectProblem(Get(path_ + "not-in-the-manifest"), 404, "output_not_found");
  ExpectProblem(Get(path_ + "..%2F..%2F..%2Fledger.db"), 400, "invalid_request");
  ExpectProblem(Get(path_ + "web"), 404, "output_not_found");
}

TEST_F(ApiOutputsTest, HasNothingBeforeTheJobSucceeded) {
  BrokerShows(JobState::kRunning, 0);
  const RawReply reply = Get(path_ + "web.mp4");
  ExpectProblem(reply, 404, "output_not_found");
  EXPECT_THAT(Body(reply)["detail"].get<std::string>(), testing::HasSubstr("running"));
}

TEST_F(ApiOutputsTest, FindsWhatWasPublishedAfterAnEarlierLook) {
  BrokerShows(JobState::kRunning, 0);
  EXPECT_EQ(Get(path_ + "web.mp4").status, 404);
  BrokerShows(JobState::kSucceeded, 7);
  EXPECT_EQ(Get(path_ + "web.mp4").status, 200);
}

TEST_F(ApiOutputsTest, PassesOnThatThereIsNoSuchJob) {
  broker_.On(message::kGetJob, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return Error(ErrorCode::kJobNotFound, "there is no such job");
  });
  ExpectProblem(Get(path_ + "web.mp4"), 404, "job_not_found");
}

}  // namespace
}  // namespace millrace::api
