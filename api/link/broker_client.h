#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

#include "api/link/pending_call.h"
#include "core/base/clock.h"
#include "core/model/messages/body.h"
#include "core/model/messages/events.h"

namespace millrace::api {

struct BrokerClientOptions {
  std::string client_endpoint;
  std::string event_endpoint;
  // A broker that says nothing for this long is unavailable.
  std::chrono::milliseconds deadline{1500};
  // A request without an answer is sent again this often.
  std::chrono::milliseconds repeat{400};
};

// Events may have been missed: a number of the topic `job` was left out, or the connection was made
// anew.
struct EventsLost {};
using BrokerEvent = std::variant<message::JobEvent, message::ProgressEvent, EventsLost>;

// The way to the broker: requests and their replies, and the broker's events. One thread of its
// own, the link thread, owns both sockets and runs every callback; callbacks must not block. All
// methods may be called from any thread.
//
// A broker that is away makes calls fail with Error{kBrokerUnavailable} once their deadline is
// over; the link connects again by itself.
class BrokerClient {
 public:
  using Callback = BrokerCallback;
  using EventListener = std::function<void(const BrokerEvent& event)>;

  // `clock` outlives the client.
  BrokerClient(BrokerClientOptions options, const Clock& clock);
  // Ends outstanding calls with Error{kBrokerUnavailable}, and drops what was posted or planned for
  // later. REQUIRES: not called on the link thread.
  ~BrokerClient();
  BrokerClient(const BrokerClient&) = delete;
  BrokerClient& operator=(const BrokerClient&) = delete;

  // Sends a request, again and again until it is answered: it must be idempotent.
  void Call(std::string_view type, nlohmann::json body, Callback done);
  template <message::WholeBody Request>
  void Call(const Request& request, Callback done) {
    Call(Request::kType, message::ToJson(request), std::move(done));
  }

  // Sends a request once, and asks the broker for signs of life instead of repeating it. For one
  // that may take longer than a broker may be silent, and that costs something each time. Ends with
  // Error{kDeadlineExceeded} after `deadline`.
  void CallOnce(std::string_view type, nlohmann::json body, std::chrono::milliseconds deadline,
                Callback done);
  template <message::WholeBody Request>
  void CallOnce(const Request& request, std::chrono::milliseconds deadline, Callback done) {
    CallOnce(Request::kType, message::ToJson(request), deadline, std::move(done));
  }

  // Sends a request again only when the broker has answered what was sent later, so that no copies
  // of it queue up. For an idempotent request that may keep the broker so busy that it says nothing
  // else meanwhile. A broker that is away is noticed as fast as ever: it is asked for a sign of
  // life first. Ends with Error{kBrokerUnavailable} without an answer within `patience` after that.
  void CallPatiently(std::string_view type, nlohmann::json body, std::chrono::milliseconds patience,
                     Callback done);
  template <message::WholeBody Request>
  void CallPatiently(const Request& request, std::chrono::milliseconds patience, Callback done) {
    CallPatiently(Request::kType, message::ToJson(request), patience, std::move(done));
  }

  // Hands the listener every event of a job from now on, for as long as this lives. All listeners
  // hear the same, in the order in which they were added.
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
