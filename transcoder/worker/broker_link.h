#pragma once

#include <poll.h>

#include <memory>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "transcoder/worker/session.h"

namespace millrace::worker {

struct LinkConnected {};
using LinkEvent = std::variant<LinkConnected, Message>;

// The worker's DEALER socket. Connects in the background, and again after each loss. Messages sent
// while there is no connection are lost, and messages queued for a connection are lost with it, so
// that a restarted broker gets no old news. Owned by the worker; used by the loop thread only.
class BrokerLink final : public BrokerTransport {
 public:
  // Throws Error{kInvalidRequest} for an endpoint that ZeroMQ does not understand.
  explicit BrokerLink(std::string endpoint);
  ~BrokerLink() override;

  void Send(const Message& message) override;
  void Reconnect() override;

  // Returns the next event, or nullopt. Logs and skips malformed messages.
  std::optional<LinkEvent> Next();
  // Adds the descriptors to poll for input. They signal changes, not states: poll only after Next()
  // has returned nullopt and HasInput() false.
  void AppendTo(std::vector<pollfd>& polled) const;
  bool HasInput() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::worker
