#pragma once

#include <string>

#include "core/model/message.h"
#include "tests/api/routes/api_fixture.h"

namespace millrace::api {

// A dead letter as the broker shows it.
inline nlohmann::json Letter(const std::string& job_id, const std::string& state = "open") {
  return {{"job", job_id},
          {"generation", 2},
          {"state", state},
          {"died_at", "2026-11-23T20:28:37.042Z"},
          {"closed_at", nullptr},
          {"code", "corrupt_media"},
          {"blame", "media"},
          {"detail", "no frame could be decoded"},
          {"stage", "decode"},
          {"codec", "h264"},
          {"signature", "5d4c6e8f0a1b2c3d"},
          {"signature_text", "corrupt_media in decode of h264: no frame could be decoded"},
          {"input_name", "clip.mp4"},
          {"input_sha256", nullptr},
          {"worker", "host/1"}};
}

// A service in which one job has died, in its second generation.
class DeadLetterTest : public ApiTest {
 protected:
  DeadLetterTest() { BrokerShows("open"); }

  void BrokerShows(const std::string& state) {
    broker_.On(message::kGetDeadLetter, [=](const nlohmann::json& body) -> ScriptedBroker::Reply {
      return nlohmann::json{{"dead_letter", Letter(body.at("job_id"), state)}};
    });
  }
  void BrokerRefuses(std::string_view type, ErrorCode code) {
    broker_.On(type, [=](const nlohmann::json&) -> ScriptedBroker::Reply {
      return Error(code, "it cannot be done");
    });
  }
  RawReply Delete(std::string_view target, std::string_view body = "") {
    return Ask(fmt::format("DELETE {} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n{}", target,
                           body.size(), body));
  }

  const std::string id_ = NewJobId();
  const std::string path_ = "/v1/dead-letters/" + id_;
};

}  // namespace millrace::api
