#pragma once

#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/base/id.h"
#include "core/model/message.h"

namespace millrace::api {

// The end of a call: the body of the broker's `ok`, or why there is none.
using BrokerReply = std::variant<nlohmann::json, Error>;
using BrokerCallback = std::function<void(BrokerReply)>;

// The way a request is sent and silence is understood.
enum class Manner {
  kRepeated,   // repeated until answered; silence means that the broker is away
  kOnce,       // sent once; pings find out whether the broker is away
  kPatiently,  // repeated once it must have been lost; silence means that the broker is busy
};

// One request on its way. Made on its caller's thread, which encodes it there because all calls
// share the link thread; used by the link thread alone from then on.
struct PendingCall {
  PendingCall(std::string_view type, nlohmann::json body, Manner how, BrokerCallback callback)
      : manner(how), done(std::move(callback)) {
    frames = EncodeMessage({.type = std::string(type), .id = id, .body = std::move(body)});
  }

  const std::string id = NewMessageId();
  Frames frames;
  const Manner manner;
  MonotonicTime started{};
  MonotonicTime deadline{};
  bool sent = false;
  MonotonicTime last_sent{};
  BrokerCallback done;
};

}  // namespace millrace::api
