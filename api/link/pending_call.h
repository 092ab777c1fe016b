#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>

#include "api/link/broker_client.h"
#include "core/base/id.h"
#include "core/model/message.h"

namespace millrace::api {

// How a request is sent, and what its sender makes of silence.
enum class Manner {
  kRepeated,   // again and again; silence means that the broker is away
  kOnce,       // once; the broker is asked for signs of life instead
  kPatiently,  // again once it must be lost; silence means that the broker is busy
};

// One request on its way. `done` is called exactly once. Used by the link thread alone
// once it has been started.
struct PendingCall {
  std::string id;
  std::string type;
  Frames frames;
  std::chrono::steady_clock::time_point started;
  std::chrono::steady_clock::time_point deadline;
  Manner manner = Manner::kRepeated;
  bool sent = false;
  std::chrono::steady_clock::time_point last_sent{};
  BrokerClient::Callback done;
};

// Encoded here, on the caller's thread: the link thread is shared by all.
inline std::shared_ptr<PendingCall> MakeCall(std::string_view type, nlohmann::json body,
                                             std::chrono::milliseconds deadline, Manner manner,
                                             BrokerClient::Callback done) {
  auto call = std::make_shared<PendingCall>();
  call->id = NewMessageId();
  call->type = type;
  call->frames = EncodeMessage({.type = call->type, .id = call->id, .body = std::move(body)});
  call->started = std::chrono::steady_clock::now();
  call->deadline = call->started + deadline;
  call->manner = manner;
  call->done = std::move(done);
  return call;
}

}  // namespace millrace::api
