#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <fstream>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "api/api.h"
#include "api/http_server/server.h"
#include "api/reply/replies.h"
#include "core/base/id.h"
#include "core/model/job.h"
#include "core/model/messages/events.h"
#include "tests/fakes/raw_http_client.h"
#include "tests/fakes/scripted_broker.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::api {

// The API on a real server and real sockets, with a scripted broker behind it.
class ApiTest : public testing::Test {
 protected:
  ApiTest() {
    options_.broker = {.client_endpoint = client_endpoint_,
                       .event_endpoint = event_endpoint_,
                       .deadline = std::chrono::milliseconds(1500),
                       .repeat = std::chrono::milliseconds(60)};
    options_.media = {.data_dir = dir_.path() / "data", .library_dir = {}};
    server_options_.limits.tick = std::chrono::milliseconds(20);
    Start();
  }

  // Again with changed options.
  void Start() {
    server_.reset();
    api_ = std::make_unique<Api>(options_);
    server_ =
        std::make_unique<http::Server>(server_options_, api_->MakeRouter(), ServiceProblemHooks());
    server_->Start();
  }

  RawHttpClient Connect() { return RawHttpClient(server_->port()); }
  RawReply Ask(std::string_view request) { return Connect().Exchange(request); }
  // `headers` are whole lines, each with its line end.
  RawReply Get(std::string_view target, std::string_view headers = "") {
    return Ask(fmt::format("GET {} HTTP/1.1\r\nHost: x\r\n{}\r\n", target, headers));
  }
  static std::string PostText(std::string_view target, std::string_view body,
                              std::string_view headers = "") {
    return fmt::format(
        "POST {} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
        "Content-Length: {}\r\n{}\r\n{}",
        target, body.size(), headers, body);
  }
  RawReply Post(std::string_view target, const nlohmann::json& body,
                std::string_view headers = "") {
    return Ask(PostText(target, body.dump(), headers));
  }
  RawReply Put(std::string_view target, std::string_view bytes) {
    return Ask(fmt::format("PUT {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}", target,
                           bytes.size(), bytes));
  }
  // Uploads a few bytes; returns the upload's id.
  std::string Upload(std::string_view bytes = "picture and sound") {
    return nlohmann::json::parse(Put("/v1/uploads/clip.mp4", bytes).body).at("id");
  }

  // Publish as the broker does: a job came into a state; it made progress.
  void PublishEvent(const std::string& job_id, int64_t seq, const std::string& state) {
    broker_.Publish(
        topic::kJob,
        message::ToJson(message::JobEvent{
            .seq = seq, .job = job_id, .event = "test", .state = state, .at = FormatTime({})}));
  }
  void PublishProgress(const std::string& job_id, int percent) {
    broker_.Publish(topic::kProgress,
                    message::ToJson(message::ProgressEvent{
                        .job = job_id, .percent = percent, .phase = "transcoding"}));
  }

  const TempDir dir_;
  const std::string client_endpoint_ = "ipc://" + (dir_.path() / "c").string();
  const std::string event_endpoint_ = "ipc://" + (dir_.path() / "e").string();
  ScriptedBroker broker_{client_endpoint_, event_endpoint_};
  ApiOptions options_;
  http::ServerOptions server_options_;
  std::unique_ptr<Api> api_;
  std::unique_ptr<http::Server> server_;  // last: it ends before what its handlers use
};

inline nlohmann::json Body(const RawReply& reply) {
  return nlohmann::json::parse(reply.body, nullptr, /*allow_exceptions=*/false);
}

// The pointers of a problem's errors.
inline std::vector<std::string> Pointers(const RawReply& reply) {
  std::vector<std::string> pointers;
  const nlohmann::json problem = Body(reply);
  if (!problem.contains("errors")) return pointers;
  for (const auto& error : problem.at("errors")) {
    pointers.push_back(error.at("pointer"));
  }
  return pointers;
}

// Expects a problem as RFC 9457 has it.
inline void ExpectProblem(const RawReply& reply, int status, const std::string& code) {
  EXPECT_EQ(reply.status, status) << reply.body;
  EXPECT_EQ(reply.Header("Content-Type"), "application/problem+json");
  const nlohmann::json problem = Body(reply);
  ASSERT_TRUE(problem.is_object()) << reply.body;
  EXPECT_EQ(problem.value("code", ""), code) << reply.body;
  EXPECT_EQ(problem.value("status", 0), status);
  EXPECT_EQ(problem.value("type", ""), "urn:millrace:problem:" + code);
  for (const char* member : {"title", "detail", "blame", "retryable"}) {
    EXPECT_TRUE(problem.contains(member)) << member;
  }
}

// A job as the broker shows it.
inline nlohmann::json JobInState(const std::string& id, JobState state, int percent = 0) {
  Job job;
  job.id = id;
  job.state = state;
  job.request.input.upload = "upl_0";
  job.request.spec.outputs = {{.name = "web"}};
  if (state == JobState::kSucceeded) {
    job.published_fence = 7;
    job.files = {{.output = "web",
                  .path = "web.mp4",
                  .bytes = 10,
                  .sha256 = "0a1b",
                  .media_type = "video/mp4"},
                 {.output = "web",
                  .path = "web/pic 1.jpg",
                  .bytes = 3,
                  .sha256 = "2c3d",
                  .media_type = "image/jpeg"}};
  }
  return JobView(job, {.progress = {.percent = percent, .phase = "transcoding"}});
}

}  // namespace millrace::api
