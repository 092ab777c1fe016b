#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <variant>

#include "core/base/error.h"

namespace millrace::api {

// What a call ends with: the body of the broker's `ok`, or why there is none.
using BrokerReply = std::variant<nlohmann::json, Error>;

struct BrokerClientOptions {
  std::string client_endpoint;
  std::string event_endpoint;
  // A broker that says nothing for this long is unavailable.
  std::chrono::milliseconds deadline{1500};
  // A request without an answer is sent again this often.
  std::chrono::milliseconds repeat{400};
};

// The way to the broker: requests and their replies, and the broker's events. One thread of its
// own, the link thread, owns both sockets and runs every callback; callbacks must not block. All
// methods may be called from any thread.
//
// A broker that is away makes calls fail with Error{kBrokerUnavailable} once their deadline is
// over; the link connects again by itself.
class BrokerClient {
 public:
  using Callback = std::function<void(BrokerReply)>;
  using EventListener = std::function<void(std::string_view topic, const nlohmann::json& body)>;

  explicit BrokerClient(BrokerClientOptions options);
  // What is still waited for ends with Error{kBrokerUnavailable}; what was posted or planned for
  // later is dropped. REQUIRES: not called on the link thread.
  ~BrokerClient();
  BrokerClient(const BrokerClient&) = delete;
  BrokerClient& operator=(const BrokerClient&) = delete;

  // Sends a request, again and again until it is answered: it must be idempotent.
  void Call(std::string_view type, nlohmann::json body, Callback done);
  // For a request that may take longer than a broker may be silent and that costs something each
  // time: it is sent once, and the broker is asked for signs of life instead. Ends with
  // Error{kDeadlineExceeded} after `deadline`.
  void CallOnce(std::string_view type, nlohmann::json body, std::chrono::milliseconds deadline,
                Callback done);

  // For an idempotent request that may keep the broker so busy that it says nothing else meanwhile.
  // It is sent again only when the broker has answered what was sent later, so that no copies of it
  // queue up. A broker that is away is noticed as fast as ever: it is asked for a sign of life
  // first. Ends with Error{kBrokerUnavailable} if there is no answer within `patience` after that.
  void CallPatiently(std::string_view type, nlohmann::json body, std::chrono::milliseconds patience,
                     Callback done);

  // A topic of its own, without a body: what was published may have been missed, because a number
  // of the topic `job` was left out, or the connection was a new one.
  static constexpr std::string_view kEventsLost = "events_lost";

  // Every event of the topics `job`, `progress` and kEventsLost from now on, for as long as this
  // lives. All listeners hear the same, in the order in which they were added.
  void Listen(EventListener listener);

  // Runs `task` on the link thread: soon, or after `delay`.
  void Post(std::function<void()> task);
  void After(std::chrono::milliseconds delay, std::function<void()> task);

  const BrokerClientOptions& options() const;

 private:
  class Link;
  std::unique_ptr<Link> link_;
};

}  // namespace millrace::api
