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

// The worker's DEALER socket. Connects in the background and again after each loss; what is sent
// while there is no connection is lost, and what was queued for a connection is lost with it, so
// that a restarted broker gets no old news. Owned by the worker; used by the loop thread only.
class BrokerLink final : public BrokerTransport {
 public:
  // Throws Error{kInvalidRequest} for an endpoint that ZeroMQ does not understand.
  explicit BrokerLink(std::string endpoint);
  ~BrokerLink() override;

  void Send(const Message& message) override;
  void Reconnect() override;

  // The next thing that has happened, or nullopt. Malformed messages are logged and left out.
  std::optional<LinkEvent> Next();
  // What to poll for input. Its descriptors tell of changes, not of states: poll only after Next()
  // has returned nullopt and HasInput() false.
  void AppendTo(std::vector<pollfd>& polled) const;
  bool HasInput() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::worker
