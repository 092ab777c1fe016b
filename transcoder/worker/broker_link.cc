#include "transcoder/worker/broker_link.h"

#include <cstdint>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/model/zmq_frames.h"

namespace millrace::worker {
namespace {

constexpr int64_t kMaxFrameBytes = int64_t{8} << 20;
constexpr int kReconnectPauseMs = 50;
constexpr int kLongestReconnectPauseMs = 1000;

zmq::socket_t MakeDealer(zmq::context_t& context) {
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::immediate, true);
  socket.set(zmq::sockopt::maxmsgsize, kMaxFrameBytes);
  socket.set(zmq::sockopt::reconnect_ivl, kReconnectPauseMs);
  socket.set(zmq::sockopt::reconnect_ivl_max, kLongestReconnectPauseMs);
  return socket;
}

// A socket, and the socket on which ZeroMQ tells when it is connected.
struct Connection {
  Connection(zmq::context_t& context, const std::string& endpoint, int64_t number)
      : socket(MakeDealer(context)),
        monitor(MonitorOf(socket, context, "inproc://worker-link-" + std::to_string(number),
                          ZMQ_EVENT_HANDSHAKE_SUCCEEDED)) {
    socket.connect(endpoint);
  }
  ~Connection() { socket.close(); }  // before its monitor
  Connection(const Connection&) = delete;
  Connection& operator=(const Connection&) = delete;

  zmq::socket_t socket;
  zmq::socket_t monitor;
};

bool Readable(const zmq::socket_t& socket) {
  return (socket.get(zmq::sockopt::events) & ZMQ_POLLIN) != 0;
}

}  // namespace

struct BrokerLink::Impl {
  std::string endpoint;
  zmq::context_t context{1};
  int64_t connections = 0;
  std::unique_ptr<Connection> connection;
};

BrokerLink::BrokerLink(std::string endpoint) : impl_(std::make_unique<Impl>()) {
  impl_->endpoint = std::move(endpoint);
  try {
    Reconnect();
  } catch (const zmq::error_t& error) {
    throw Error(ErrorCode::kInvalidRequest,
                "cannot connect to '" + impl_->endpoint + "': " + error.what());
  }
}

BrokerLink::~BrokerLink() = default;

void BrokerLink::Send(const Message& message) {
  // Reads the events, which makes ZeroMQ notice a connection that has just been made or lost.
  zmq::socket_t& socket = impl_->connection->socket;
  if ((socket.get(zmq::sockopt::events) & ZMQ_POLLOUT) != 0) {
    SendFrames(socket, EncodeMessage(message));
  }
}

void BrokerLink::Reconnect() {
  impl_->connection.reset();
  impl_->connection =
      std::make_unique<Connection>(impl_->context, impl_->endpoint, ++impl_->connections);
}

std::optional<LinkEvent> BrokerLink::Next() {
  // An event frame and an address; the only event asked for is the one that counts.
  if (!ReceiveFrames(impl_->connection->monitor).empty()) return LinkConnected{};
  for (;;) {
    const Frames frames = ReceiveFrames(impl_->connection->socket);
    if (frames.empty()) return std::nullopt;
    try {
      return DecodeMessage(frames);
    } catch (const Error& error) {
      LogWarning("a malformed message from the broker", {{"detail", error.what()}});
    }
  }
}

void BrokerLink::AppendTo(std::vector<pollfd>& polled) const {
  const Connection& connection = *impl_->connection;
  for (const zmq::socket_t* socket : {&connection.monitor, &connection.socket}) {
    polled.push_back({.fd = socket->get(zmq::sockopt::fd), .events = POLLIN, .revents = 0});
  }
}

bool BrokerLink::HasInput() const {
  return Readable(impl_->connection->monitor) || Readable(impl_->connection->socket);
}

}  // namespace millrace::worker
