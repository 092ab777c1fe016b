#include <atomic>
#include <memory>

#include "core/model/message.h"
#include "tests/api/routes/api_fixture.h"

namespace millrace::api {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::UnorderedElementsAre;

class ApiSubmitTest : public ApiTest {
 protected:
  ApiSubmitTest() {
    broker_.On(message::kSubmit, [](const nlohmann::json& body) -> ScriptedBroker::Reply {
      return nlohmann::json{{"job", JobInState(body.at("job_id"), JobState::kQueued)}};
    });
  }

  nlohmann::json Valid() {
    return {{"input", {{"upload", upload_}}},
            {"outputs", {{{"name", "web"}, {"preset", "mp4-h264-720p"}}}}};
  }
  // The request with the value at `pointer` replaced.
  nlohmann::json With(const std::string& pointer, const nlohmann::json& value) {
    nlohmann::json request = Valid();
    request[nlohmann::json::json_pointer(pointer)] = value;
    return request;
  }

  const std::string upload_ = Upload("hello");
};

TEST_F(ApiSubmitTest, AcceptsAJobOnceTheBrokerHasIt) {
  const RawReply reply = Post("/v1/jobs", Valid());
  ASSERT_EQ(reply.status, 202) << reply.body;
  const nlohmann::json job = Body(reply);
  const std::string path = "/v1/jobs/" + job["id"].get<std::string>();
  EXPECT_EQ(job["state"], "queued");
  EXPECT_EQ(reply.Header("Location"), path);
  EXPECT_EQ(reply.Header("Retry-After"), "1");
  EXPECT_EQ(job["links"], (nlohmann::json{{"self", path},
                                          {"attempts", path + "/attempts"},
                                          {"events", path + "/events"},
                                          {"cancel", path + "/cancel"}}));

  const nlohmann::json asked = broker_.Request(message::kSubmit);
  EXPECT_EQ(asked["job_id"], job["id"]);
  EXPECT_EQ(asked["input_facts"]["name"], "clip.mp4");
  EXPECT_EQ(asked["input_facts"]["bytes"], 5);
  EXPECT_EQ(asked["request"]["priority"], 50);
  // The preset is resolved here and nothing of it is looked up later.
  EXPECT_EQ(asked["request"]["spec"]["outputs"][0]["video"]["codec"], "h264");
  EXPECT_EQ(asked["request"]["spec"]["outputs"][0]["video"]["height"], 720);
  EXPECT_GT(asked["deadline_unix_ms"].get<int64_t>(), 1'600'000'000'000);
}

TEST_F(ApiSubmitTest, CarriesEveryFieldToTheBroker) {
  nlohmann::json request = Valid();
  request.update({{"priority", 80},
                  {"external_id", "asset-42"},
                  {"labels", {{"team", "news"}}},
                  {"max_attempts", 2},
                  {"force", true},
                  {"clip", {{"start_seconds", 5}, {"duration_seconds", 60}}}});
  ASSERT_EQ(Post("/v1/jobs", request).status, 202);
  const nlohmann::json asked = broker_.Request(message::kSubmit)["request"];
  EXPECT_EQ(asked["priority"], 80);
  EXPECT_EQ(asked["external_id"], "asset-42");
  EXPECT_EQ(asked["labels"]["team"], "news");
  EXPECT_EQ(asked["max_attempts"], 2);
  EXPECT_EQ(asked["force"], true);
  EXPECT_EQ(asked["spec"]["clip"]["duration_seconds"], 60);
}

TEST_F(ApiSubmitTest, NamesEachFieldThatIsWrong) {
  const nlohmann::json video = {{"codec", "h264"}, {"crf", 20}};
  const auto spelt_out = [&](const std::string& pointer, const nlohmann::json& value) {
    nlohmann::json output = {{"name", "web"}, {"container", "mp4"}, {"video", video}};
    output[nlohmann::json::json_pointer(pointer)] = value;
    return nlohmann::json::array({output});
  };
  struct Case {
    std::string pointer;    // what is changed in a valid request
    nlohmann::json value;   // to what
    std::string complaint;  // which pointer must be named
  };
  const Case cases[] = {
      {"/input", "upl_1", "/input"},
      {"/input/upload", 5, "/input/upload"},
      {"/input/upload", "job_1", "/input/upload"},
      {"/input/path", "also.mp4", "/input"},
      {"/input/url", "https://example.com/a.mp4", "/input/url"},
      {"/outputs", nlohmann::json::array(), "/outputs"},
      {"/outputs", "web", "/outputs"},
      {"/outputs/0/name", "../web", "/outputs/0/name"},
      {"/outputs/0/name", nullptr, "/outputs/0/name"},
      {"/outputs/0/preset", "no-such", "/outputs/0/preset"},
      {"/outputs/0/colour", "red", "/outputs/0/colour"},
      {"/outputs/1", {{"name", "web"}, {"preset", "poster"}}, "/outputs/1/name"},
      {"/outputs/0/video/crf", 99, "/outputs/0/video/crf"},
      {"/outputs/0/audio/bitrate", -1, "/outputs/0/audio/bitrate"},
      {"/outputs", spelt_out("/container", "avi"), "/outputs/0/container"},
      {"/outputs", spelt_out("/video/codec", "theora"), "/outputs/0/video/codec"},
      {"/outputs", spelt_out("/video/width", 1), "/outputs/0/video/width"},
      {"/outputs", spelt_out("/video/height", 1.5), "/outputs/0/video/height"},
      {"/outputs", spelt_out("/video/bitrate", 10), "/outputs/0/video/bitrate"},
      {"/outputs", spelt_out("/video/speed", "warp"), "/outputs/0/video/speed"},
      {"/outputs", spelt_out("/video/gop_seconds", 0), "/outputs/0/video/gop_seconds"},
      {"/outputs", spelt_out("/video/fps", "30"), "/outputs/0/video/fps"},
      {"/outputs", spelt_out("/video/pass", 2), "/outputs/0/video/pass"},
      {"/outputs", spelt_out("/audio", {{"codec", "flac"}}), "/outputs/0/audio/codec"},
      {"/outputs", spelt_out("/audio", {{"codec", "aac"}, {"channels", 9}}),
       "/outputs/0/audio/channels"},
      {"/outputs", spelt_out("/audio", {{"codec", "opus"}, {"sample_rate", 44100}}),
       "/outputs/0/audio/sample_rate"},
      {"/outputs", spelt_out("/thumbnails", {{"count", 1}}), "/outputs/0/thumbnails"},
      {"/clip", 5, "/clip"},
      {"/clip/start_seconds", -1, "/clip/start_seconds"},
      {"/clip/duration_seconds", 0, "/clip/duration_seconds"},
      {"/clip/end", 9, "/clip/end"},
      {"/priority", 101, "/priority"},
      {"/priority", "high", "/priority"},
      {"/external_id", "", "/external_id"},
      {"/labels", "news", "/labels"},
      {"/labels/team", 5, "/labels/team"},
      {"/max_attempts", 0, "/max_attempts"},
      {"/force", "yes", "/force"},
      {"/webhook", "https://example.com", "/webhook"},
  };
  for (const Case& wrong : cases) {
    const RawReply reply = Post("/v1/jobs", With(wrong.pointer, wrong.value));
    SCOPED_TRACE(wrong.pointer + " = " + wrong.value.dump());
    ExpectProblem(reply, 400, "invalid_request");
    EXPECT_THAT(Pointers(reply), testing::Contains(wrong.complaint)) << reply.body;
  }
  EXPECT_TRUE(broker_.Requests(message::kSubmit).empty());
}

TEST_F(ApiSubmitTest, NamesAllMistakesAtOnce) {
  const RawReply reply = Post("/v1/jobs", {{"priority", 900}, {"lable", {}}});
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Pointers(reply), UnorderedElementsAre("/input", "/outputs", "/priority", "/lable"));
}

TEST_F(ApiSubmitTest, SaysWhichUploadIsNotThere) {
  const RawReply reply = Post("/v1/jobs", With("/input/upload", NewUploadId()));
  ExpectProblem(reply, 404, "upload_not_found");
  EXPECT_THAT(Pointers(reply), ElementsAre("/input/upload"));
}

TEST_F(ApiSubmitTest, NoticesThatAnUploadHasBeenRemoved) {
  ASSERT_EQ(Post("/v1/jobs", Valid()).status, 202);
  std::filesystem::remove_all(options_.media.data_dir / "uploads" / upload_);
  ExpectProblem(Post("/v1/jobs", Valid()), 404, "upload_not_found");
}

TEST_F(ApiSubmitTest, TakesAFileOfTheLibraryAndNothingOutsideIt) {
  const RawReply off = Post("/v1/jobs", With("/input", {{"path", "a.mp4"}}));
  ExpectProblem(off, 400, "invalid_request");
  EXPECT_THAT(Pointers(off), ElementsAre("/input/path"));

  options_.media.library_dir = dir_.path() / "library";
  std::filesystem::create_directory(options_.media.library_dir);
  std::ofstream(options_.media.library_dir / "a.mp4") << "four";
  std::ofstream(dir_.path() / "secret") << "x";
  Start();
  ASSERT_EQ(Post("/v1/jobs", With("/input", {{"path", "a.mp4"}})).status, 202);
  EXPECT_EQ(broker_.Request(message::kSubmit)["input_facts"],
            (nlohmann::json{{"name", "a.mp4"}, {"bytes", 4}, {"sha256", nullptr}}));
  ExpectProblem(Post("/v1/jobs", With("/input", {{"path", "../secret"}})), 400, "invalid_request");
}

TEST_F(ApiSubmitTest, SaysWhereTheBodyStopsBeingJson) {
  const RawReply reply = Ask(PostText("/v1/jobs", "{\"input\": \n nonsense}"));
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Body(reply)["detail"].get<std::string>(), HasSubstr("line 2, column 3"));
  ExpectProblem(Ask(PostText("/v1/jobs", "")), 400, "invalid_request");
  ExpectProblem(Ask(PostText("/v1/jobs", "[1, 2]")), 400, "invalid_request");
}

TEST_F(ApiSubmitTest, RefusesJsonThatIsNestedTooDeeply) {
  const std::string deep = "{\"outputs\": " + std::string(100'000, '[');
  const RawReply reply = Ask(PostText("/v1/jobs", deep));
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Body(reply)["detail"].get<std::string>(), HasSubstr("nested deeper"));
}

TEST_F(ApiSubmitTest, TakesOnlyJson) {
  const RawReply form =
      Ask("POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/x-www-form-urlencoded\r\n"
          "Content-Length: 2\r\n\r\n{}");
  ExpectProblem(form, 415, "unsupported_media_type");
  ExpectProblem(Ask("POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}"), 415,
                "unsupported_media_type");
  const RawReply charset =
      Ask("POST /v1/jobs HTTP/1.1\r\nHost: x\r\nContent-Type: application/json; charset=utf-8\r\n"
          "Content-Length: 2\r\n\r\n{}");
  ExpectProblem(charset, 400, "invalid_request");
}

TEST_F(ApiSubmitTest, RefusesParametersThatItDoesNotKnow) {
  const RawReply reply = Post("/v1/jobs?wait=5", Valid());
  ExpectProblem(reply, 400, "invalid_request");
  EXPECT_THAT(Pointers(reply), ElementsAre("/wait"));
}

TEST_F(ApiSubmitTest, PassesTheBrokersRefusalOn) {
  broker_.On(message::kSubmit, [](const nlohmann::json&) -> ScriptedBroker::Reply {
    return Error(ErrorCode::kQueueFull, "100000 jobs wait", {{"retry_after_seconds", 40}});
  });
  const RawReply reply = Post("/v1/jobs", Valid());
  ExpectProblem(reply, 503, "queue_full");
  EXPECT_EQ(reply.Header("Retry-After"), "40");
  EXPECT_EQ(Body(reply)["retryable"], true);
}

TEST_F(ApiSubmitTest, RepeatsAnUnansweredRequestUnderTheSameJobId) {
  const auto asked = std::make_shared<std::atomic<int>>(0);
  broker_.On(message::kSubmit, [asked](const nlohmann::json& body) -> ScriptedBroker::Reply {
    if (++*asked < 3) return std::monostate();
    return nlohmann::json{{"job", JobInState(body.at("job_id"), JobState::kQueued)}};
  });
  const RawReply reply = Post("/v1/jobs", Valid());
  ASSERT_EQ(reply.status, 202) << reply.body;
  for (const Message& repetition : broker_.Requests(message::kSubmit)) {
    EXPECT_EQ(repetition.body["job_id"], Body(reply)["id"]);
  }
}

TEST_F(ApiSubmitTest, WaitsForTheEndWhenAsked) {
  broker_.On(message::kGetJob, [](const nlohmann::json& body) -> ScriptedBroker::Reply {
    return nlohmann::json{{"job", JobInState(body.at("job_id"), JobState::kRunning)},
                          {"published_fence", 0}};
  });
  RawHttpClient client = Connect();
  client.Send(PostText("/v1/jobs", Valid().dump(), "Prefer: respond-async, wait=60\r\n"));
  const std::string id = broker_.Request(message::kGetJob)["job_id"];
  broker_.On(message::kGetJob, [](const nlohmann::json& body) -> ScriptedBroker::Reply {
    return nlohmann::json{{"job", JobInState(body.at("job_id"), JobState::kSucceeded)},
                          {"published_fence", 7}};
  });
  PublishEvent(id, 9, "succeeded");
  const RawReply reply = client.ReadReply();
  EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_EQ(reply.Header("Preference-Applied"), "wait=60");
  EXPECT_EQ(reply.Header("Location"), "/v1/jobs/" + id);
  EXPECT_EQ(Body(reply)["state"], "succeeded");
}

TEST_F(ApiSubmitTest, AnswersWithTheUnfinishedJobWhenTheWaitIsOver) {
  broker_.On(message::kGetJob, [](const nlohmann::json& body) -> ScriptedBroker::Reply {
    return nlohmann::json{{"job", JobInState(body.at("job_id"), JobState::kRunning, 30)},
                          {"published_fence", 0}};
  });
  const RawReply reply = Post("/v1/jobs", Valid(), "Prefer: wait=1\r\n");
  EXPECT_EQ(reply.status, 202) << reply.body;
  EXPECT_EQ(reply.Header("Preference-Applied"), "");
  EXPECT_EQ(Body(reply)["progress"]["percent"], 30);
}

TEST_F(ApiSubmitTest, IgnoresAPreferenceThatMakesNoSense) {
  for (const char* prefer : {"wait=soon", "wait", "wait=-1", "wait=0", "return=minimal"}) {
    EXPECT_EQ(Post("/v1/jobs", Valid(), fmt::format("Prefer: {}\r\n", prefer)).status, 202);
  }
  EXPECT_TRUE(broker_.Requests(message::kGetJob).empty());
}

}  // namespace
}  // namespace millrace::api
