#include "broker/io/sockets.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <deque>
#include <filesystem>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "core/base/files.h"
#include "core/base/json_text.h"
#include "core/model/zmq_frames.h"

namespace millrace::broker {
namespace {

using std::chrono::milliseconds;

// ZeroMQ cuts the connection of a peer that sends a larger frame. core/model/message.h has the
// smaller limit, whose breach is answered.
constexpr int64_t kMaxFrameBytes = 8 * 1024 * 1024;
// Enough to see that a message has too many frames.
constexpr size_t kFramesKept = 8;
// Bound the replies that wait for one peer, and its requests that wait here; more wait on its side.
constexpr int kSendWater = 1'000;
constexpr int kReceiveWater = 1'000;
// The time that a closing broker has to hand over its last replies.
constexpr int kLingerMs = 500;
constexpr int kHandshakeMs = 5'000;
// Find connections that ended without being closed (a pulled cable, a frozen host). Leases end by
// their own clock, and a worker's connection is kept at least as long.
constexpr int kHeartbeatMs = 5'000;
constexpr milliseconds kHeartbeatTimeout{15'000};
constexpr milliseconds kLongestHeartbeatTimeout = std::chrono::hours(24);  // it is an int there
constexpr size_t kEndsRemembered = 10'000;
constexpr const char* kEndsEndpoint = "inproc://ends-of-workers";

void CreateFolderOf(const std::string& endpoint) {
  constexpr std::string_view kScheme = "ipc://";
  if (!endpoint.starts_with(kScheme)) return;
  const std::filesystem::path path(endpoint.substr(kScheme.size()));
  if (path.has_parent_path()) CreateFolders(path.parent_path());
}

void Bind(zmq::socket_t& socket, const std::string& endpoint, const char* what) {
  CreateFolderOf(endpoint);
  try {
    socket.bind(endpoint);  // unlinks an ipc file that an earlier broker left behind
  } catch (const zmq::error_t& error) {
    throw Error(ErrorCode::kInvalidRequest, std::string("cannot bind the ") + what + " endpoint " +
                                                endpoint + ": " + error.what());
  }
}

zmq::socket_t MakeRouter(zmq::context_t& context, milliseconds silence) {
  zmq::socket_t socket(context, zmq::socket_type::router);
  socket.set(zmq::sockopt::linger, kLingerMs);
  socket.set(zmq::sockopt::maxmsgsize, kMaxFrameBytes);
  socket.set(zmq::sockopt::sndhwm, kSendWater);
  socket.set(zmq::sockopt::rcvhwm, kReceiveWater);
  // Makes send() report a message that cannot be delivered, instead of dropping it silently.
  socket.set(zmq::sockopt::router_mandatory, true);
  // A peer that chose its own routing id and comes back replaces its old connection.
  socket.set(zmq::sockopt::router_handover, true);
  socket.set(zmq::sockopt::handshake_ivl, kHandshakeMs);
  socket.set(zmq::sockopt::heartbeat_ivl, kHeartbeatMs);
  socket.set(zmq::sockopt::heartbeat_timeout, static_cast<int>(silence.count()));
  return socket;
}

zmq::socket_t MakePublisher(zmq::context_t& context) {
  zmq::socket_t socket(context, zmq::socket_type::pub);
  socket.set(zmq::sockopt::linger, kLingerMs);
  socket.set(zmq::sockopt::maxmsgsize, kMaxFrameBytes);
  socket.set(zmq::sockopt::sndhwm, kSendWater);
  return socket;
}

// Finds out which peer's connection has closed. ZeroMQ names a closed connection by its descriptor
// alone, and messages carry theirs; but a descriptor is reused as soon as it is free. ZeroMQ
// reports the fate of descriptors in order, and the beginning of a connection before its first
// message. So all reports up to that beginning concern earlier users of the descriptor.
class Ends {
 public:
  Ends(zmq::context_t& context, zmq::socket_t& watched)
      : told_(MonitorOf(watched, context, kEndsEndpoint,
                        ZMQ_EVENT_ACCEPTED | ZMQ_EVENT_DISCONNECTED)) {}

  void* handle() { return told_.handle(); }

  void Hear(int fd, const std::string& peer) {
    const auto found = peers_.find(fd);
    if (found != peers_.end() && found->second == peer) return;
    ReadTold();
    // A late message: another connection may have the descriptor by now.
    if (ended_.contains(peer)) return;
    if (open_.contains(fd)) {
      peers_[fd] = peer;
    } else {
      End(peer);
    }
  }

  std::vector<std::string> Take() {
    ReadTold();
    return std::exchange(closed_, {});
  }

 private:
  void ReadTold() {
    zmq::message_t event;
    zmq::message_t endpoint;
    while (told_.recv(event, zmq::recv_flags::dontwait)) {
      if (event.more() && !told_.recv(endpoint, zmq::recv_flags::none)) return;
      // 16 bits of event, 32 of value: the descriptor.
      uint16_t kind = 0;
      uint32_t fd = 0;
      if (event.size() < sizeof(kind) + sizeof(fd)) continue;
      std::memcpy(&kind, event.data<char>(), sizeof(kind));
      std::memcpy(&fd, event.data<char>() + sizeof(kind), sizeof(fd));
      Note(kind, static_cast<int>(fd));
    }
  }

  void Note(uint16_t kind, int fd) {
    auto peer = peers_.extract(fd);
    if (kind == ZMQ_EVENT_ACCEPTED) {
      // A peer that reconnects under its own name replaces its old connection without a report.
      open_.insert(fd);
      return;
    }
    open_.erase(fd);
    if (peer) End(std::move(peer.mapped()));
  }

  void End(std::string peer) {
    if (ended_.insert(peer).second) {
      in_order_.push_back(peer);
      if (in_order_.size() > kEndsRemembered) {
        ended_.erase(in_order_.front());
        in_order_.pop_front();
      }
    }
    closed_.push_back(std::move(peer));
  }

  zmq::socket_t told_;
  std::unordered_set<int> open_;                // descriptors of connections
  std::unordered_map<int, std::string> peers_;  // by the descriptor of its connection, if heard
  // The connections that ended last; their messages may still be read.
  std::unordered_set<std::string> ended_;
  std::deque<std::string> in_order_;
  std::vector<std::string> closed_;
};

// Returns nullopt if nothing is there. Tells `ends`, unless it is null, who sent the message.
std::optional<Received> TakeOne(zmq::socket_t& socket, Door door, Ends* ends) {
  zmq::message_t part;
  if (!socket.recv(part, zmq::recv_flags::dontwait)) return std::nullopt;
  Received received{.door = door, .peer = part.to_string(), .frames = {}};
  // The parts of a message arrive together, so that none of these waits.
  while (part.more()) {
    if (!socket.recv(part, zmq::recv_flags::none)) break;
    // The ROUTER's own frame in front does not always carry the descriptor.
    const int fd = received.frames.empty() ? zmq_msg_get(part.handle(), ZMQ_SRCFD) : -1;
    if (ends != nullptr && fd >= 0) ends->Hear(fd, received.peer);
    if (received.frames.size() < kFramesKept) received.frames.push_back(part.to_string());
  }
  return received;
}

// Returns an address that a peer on this host can connect to, also where the broker binds all.
std::string LocalEndpoint(std::string endpoint) {
  constexpr std::string_view kAnyAddress = "tcp://*:";
  if (endpoint.starts_with(kAnyAddress)) {
    endpoint.replace(0, kAnyAddress.size(), "tcp://127.0.0.1:");
  }
  return endpoint;
}

}  // namespace

Message AskBroker(const std::string& endpoint, const Message& request, milliseconds timeout) {
  zmq::context_t context(1);
  zmq::socket_t socket(context, zmq::socket_type::dealer);
  socket.set(zmq::sockopt::linger, 0);
  socket.set(zmq::sockopt::rcvtimeo, static_cast<int>(timeout.count()));
  socket.connect(LocalEndpoint(endpoint));
  SendFrames(socket, EncodeMessage(request));
  Frames answer;
  zmq::message_t part;
  do {
    if (!socket.recv(part, zmq::recv_flags::none)) {
      throw Error(ErrorCode::kBrokerUnavailable, "no answer from " + endpoint);
    }
    answer.push_back(part.to_string());
  } while (part.more() && answer.size() < kFramesKept);
  Message reply = DecodeMessage(answer);
  if (reply.type == message::kError) throw ErrorFromJson(reply.body);
  return reply;
}

struct Sockets::Impl {
  explicit Impl(milliseconds lease)
      : worker(MakeRouter(context, std::clamp(lease, kHeartbeatTimeout, kLongestHeartbeatTimeout))),
        ends(context, worker) {}
  // ZeroMQ waits for ever if the reader of a monitor is closed before what it watches.
  ~Impl() { worker.close(); }

  zmq::context_t context{1};
  zmq::socket_t client = MakeRouter(context, kHeartbeatTimeout);
  zmq::socket_t worker;
  zmq::socket_t event = MakePublisher(context);
  Ends ends;

  zmq::socket_t& Of(Door door) { return door == Door::kClient ? client : worker; }
};

Sockets::Sockets(const Endpoints& endpoints, milliseconds lease)
    : impl_(std::make_unique<Impl>(lease)) {
  Bind(impl_->client, endpoints.client, "client");
  Bind(impl_->worker, endpoints.worker, "worker");
  Bind(impl_->event, endpoints.event, "event");
}

Sockets::~Sockets() = default;

Arrivals Sockets::Receive(int stop_fd, int wake_fd, std::optional<milliseconds> timeout,
                          size_t limit) {
  std::array<zmq::pollitem_t, 5> items{{{impl_->worker.handle(), 0, ZMQ_POLLIN, 0},
                                        {impl_->client.handle(), 0, ZMQ_POLLIN, 0},
                                        {nullptr, stop_fd, ZMQ_POLLIN, 0},
                                        {nullptr, wake_fd, ZMQ_POLLIN, 0},
                                        {impl_->ends.handle(), 0, ZMQ_POLLIN, 0}}};
  try {
    zmq::poll(items, timeout.value_or(milliseconds(-1)));
  } catch (const zmq::error_t& error) {
    if (error.num() != EINTR) throw;
  }
  Arrivals arrivals;
  arrivals.stop = (items[2].revents & ZMQ_POLLIN) != 0;
  for (const Door door : {Door::kWorker, Door::kClient}) {
    for (size_t taken = 0; taken < limit; ++taken) {
      std::optional<Received> received =
          TakeOne(impl_->Of(door), door, door == Door::kWorker ? &impl_->ends : nullptr);
      if (!received) break;
      arrivals.messages.push_back(std::move(*received));
    }
  }
  arrivals.closed = impl_->ends.Take();
  return arrivals;
}

SendResult Sockets::Send(Door door, const std::string& peer, const Message& message) {
  zmq::socket_t& socket = impl_->Of(door);
  const auto flags = zmq::send_flags::dontwait | zmq::send_flags::sndmore;
  try {
    if (!socket.send(zmq::buffer(peer), flags)) {
      ++dropped_;
      return SendResult::kFull;
    }
  } catch (const zmq::error_t& error) {
    if (error.num() != EHOSTUNREACH) throw;
    ++dropped_;
    return SendResult::kUnreachable;
  }
  // The identity has reserved the place of the whole message.
  SendFrames(socket, EncodeMessage(message));
  return SendResult::kSent;
}

void Sockets::Publish(std::string_view topic, const nlohmann::json& body) {
  const std::string text = ToText(body);
  impl_->event.send(zmq::buffer(topic), zmq::send_flags::sndmore | zmq::send_flags::dontwait);
  impl_->event.send(zmq::buffer(text), zmq::send_flags::dontwait);
}

}  // namespace millrace::broker
