#include "core/model/message.h"
#include "tests/api/routes/api_fixture.h"

namespace millrace::api {
namespace {

using testing::ElementsAre;
using ApiProbeTest = ApiTest;

TEST_F(ApiProbeTest, ShowsWhatTheMediaContains) {
  const nlohmann::json media = {{"duration_seconds", 5}};
  broker_.On(message::kProbe, [media](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json{{"media", media}};
  });
  const std::string upload = Upload("hello");
  const RawReply reply = Post("/v1/probe", {{"input", {{"upload", upload}}}});
  ASSERT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(Body(reply)["media"], media);
  EXPECT_EQ(Body(reply)["input"]["upload"], upload);
  EXPECT_EQ(Body(reply)["input"]["bytes"], 5);
  const nlohmann::json asked = broker_.Request(message::kProbe);
  EXPECT_EQ(asked["input"], (nlohmann::json{{"upload", upload}}));
  EXPECT_EQ(asked["input_name"], "clip.mp4");
  EXPECT_TRUE(asked.contains("deadline_unix_ms"));
}

TEST_F(ApiProbeTest, AsksOnceEvenIfItTakesLongerThanTheBrokerMayBeSilent) {
  broker_.On(message::kProbe,
             [](const nlohmann::json&) -> ScriptedBroker::Reply { return std::monostate(); });
  broker_.On(message::kPing, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return nlohmann::json::object();
  });
  const std::string upload = Upload();
  RawHttpClient client = Connect();
  client.Send(PostText("/v1/probe", nlohmann::json{{"input", {{"upload", upload}}}}.dump()));
  // Ten signs of life last longer than the 300 ms for which this broker may be silent.
  broker_.Request(message::kPing, 10);
  EXPECT_EQ(broker_.Requests(message::kProbe).size(), 1u);
  broker_.Stop();
  ExpectProblem(client.ReadReply(), 503, "broker_unavailable");
}

TEST_F(ApiProbeTest, PassesTheReasonOn) {
  broker_.On(message::kProbe, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return Error(ErrorCode::kNotMedia, "a text file");
  });
  const RawReply reply = Post("/v1/probe", {{"input", {{"upload", Upload()}}}});
  ExpectProblem(reply, 422, "not_media");
  EXPECT_EQ(Body(reply)["blame"], "media");
}

TEST_F(ApiProbeTest, NamesWhatIsWrong) {
  const RawReply empty = Post("/v1/probe", nlohmann::json::object());
  ExpectProblem(empty, 400, "invalid_request");
  EXPECT_THAT(Pointers(empty), ElementsAre("/input"));
  const RawReply unknown = Post("/v1/probe", {{"input", {{"upload", NewUploadId()}}}, {"x", 1}});
  EXPECT_THAT(Pointers(unknown), ElementsAre("/x"));
  const RawReply missing = Post("/v1/probe", {{"input", {{"upload", NewUploadId()}}}});
  ExpectProblem(missing, 404, "upload_not_found");
  EXPECT_THAT(Pointers(missing), ElementsAre("/input/upload"));
}

}  // namespace
}  // namespace millrace::api
