#include "tests/chaos/link_proxy.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <system_error>
#include <vector>

namespace millrace::chaos {
namespace {

constexpr size_t kSeenKept = 200;
constexpr int kBacklog = 16;

[[noreturn]] void ThrowSystemError(const char* what) {
  throw std::system_error(errno, std::generic_category(), what);
}

UniqueFd UnixSocket() {
  UniqueFd fd(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
  if (!fd) ThrowSystemError("socket");
  return fd;
}

sockaddr_un AddressOf(const std::filesystem::path& path) {
  sockaddr_un address{.sun_family = AF_UNIX, .sun_path = {}};
  if (path.native().size() >= sizeof address.sun_path) {
    errno = ENAMETOOLONG;
    ThrowSystemError(path.c_str());
  }
  std::memcpy(address.sun_path, path.c_str(), path.native().size() + 1);
  return address;
}

// Returns an invalid descriptor if nobody listens there.
UniqueFd Connect(const std::filesystem::path& path) {
  UniqueFd fd = UnixSocket();
  const sockaddr_un address = AddressOf(path);
  if (connect(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
    fd.Reset();
  }
  return fd;
}

UniqueFd Listen(const std::filesystem::path& path) {
  UniqueFd fd = UnixSocket();
  unlink(path.c_str());
  const sockaddr_un address = AddressOf(path);
  if (bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0 ||
      listen(fd.get(), kBacklog) != 0) {
    ThrowSystemError(path.c_str());
  }
  return fd;
}

// Parses a command; a short frame has flags, its length, the length of the name and the name.
bool IsHeartbeat(std::string_view command) {
  return command.size() > 7 && (command.substr(3, 4) == "PING" || command.substr(3, 4) == "PONG");
}

}  // namespace

LinkProxy::LinkProxy(std::filesystem::path listen_at, std::filesystem::path broker_at,
                     uint64_t seed)
    : listen_at_(std::move(listen_at)),
      broker_at_(std::move(broker_at)),
      listener_(Listen(listen_at_)),
      wake_(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)),
      random_(seed),
      thread_([this] { Run(); }) {}

LinkProxy::~LinkProxy() {
  ended_ = true;
  eventfd_write(wake_.get(), 1);
  thread_.join();
}

void LinkProxy::Set(Direction direction, const Faults& faults) {
  AtomicFaults& now = faults_.at(direction);
  now.lost = faults.lost;
  now.duplicated = faults.duplicated;
  now.replayed = faults.replayed;
  now.cut = faults.cut;
  eventfd_write(wake_.get(), 1);  // what has ended meanwhile, and whoever waits to connect
}

size_t LinkProxy::Reset() {
  const size_t connected = connected_;
  reset_ = true;
  eventfd_write(wake_.get(), 1);
  return connected;
}

// Returns descriptors in the order of `connections_`, invalid for those not to be polled.
std::vector<pollfd> LinkProxy::Polled() const {
  std::vector<pollfd> polled = {
      {.fd = IsCut() ? -1 : listener_.get(), .events = POLLIN, .revents = 0},
      {.fd = wake_.get(), .events = POLLIN, .revents = 0}};
  for (const Connection& connection : connections_) {
    for (const Side& side : connection.sides) {
      const short out = side.leaving.empty() ? 0 : POLLOUT;
      polled.push_back({.fd = side.ended ? -1 : side.socket.get(),
                        .events = static_cast<short>(POLLIN | out),
                        .revents = 0});
    }
  }
  return polled;
}

void LinkProxy::Run() {
  while (!ended_) {
    std::vector<pollfd> polled = Polled();
    poll(polled.data(), polled.size(), -1);
    eventfd_t ignored = 0;
    eventfd_read(wake_.get(), &ignored);
    size_t at = 2;
    for (Connection& connection : connections_) {
      for (const Direction direction : {kToBroker, kFromBroker}) {
        const short ready = polled[at++].revents;
        if ((ready & POLLOUT) != 0) Write(connection, direction);
        if ((ready & (POLLIN | POLLHUP | POLLERR)) != 0) Read(connection, direction);
      }
    }
    const bool reset = reset_.exchange(false);
    const bool cut = IsCut();
    connections_.remove_if(
        [=](const Connection& one) { return reset || (one.has_ended() && !cut); });
    if ((polled[0].revents & POLLIN) != 0 && !cut) Accept();
    connected_ = connections_.size();
  }
}

void LinkProxy::Accept() {
  UniqueFd program(accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK));
  if (!program) return;
  UniqueFd broker = Connect(broker_at_);
  if (!broker) return;
  Connection& connection = connections_.emplace_back();
  connection.sides[kToBroker].socket = std::move(program);
  connection.sides[kFromBroker].socket = std::move(broker);
}

void LinkProxy::Read(Connection& connection, Direction direction) {
  Side& from = connection.sides.at(direction);
  std::array<char, 65536> block;
  const ssize_t count = recv(from.socket.get(), block.data(), block.size(), 0);
  if (count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR)) from.ended = true;
  if (count <= 0) return;
  from.arriving.Feed({block.data(), static_cast<size_t>(count)});
  while (auto unit = from.arriving.Next()) Forward(connection, direction, std::move(*unit));
  Write(connection, direction == kToBroker ? kFromBroker : kToBroker);
}

void LinkProxy::Forward(Connection& connection, Direction direction, ZmtpStream::Unit unit) {
  const AtomicFaults& faults = faults_.at(direction);
  std::string& out = connection.sides.at(direction == kToBroker ? kFromBroker : kToBroker).leaving;
  if (!unit.is_message) {
    // Never cut a handshake: a connection cannot recover from a broken one.
    if (!faults.cut || !IsHeartbeat(unit.bytes)) out += unit.bytes;
    return;
  }
  if (faults.cut || Drawn(faults.lost)) {
    ++harmed_;
    return;
  }
  out += unit.bytes;
  std::deque<std::string>& seen = seen_.at(direction);
  if (Drawn(faults.duplicated)) {
    ++harmed_;
    out += unit.bytes;
  }
  if (!seen.empty() && Drawn(faults.replayed)) {
    ++harmed_;
    out += seen[random_() % seen.size()];
  }
  seen.push_back(std::move(unit.bytes));
  if (seen.size() > kSeenKept) seen.pop_front();
}

void LinkProxy::Write(Connection& connection, Direction direction) {
  Side& to = connection.sides.at(direction);
  while (!to.leaving.empty()) {
    const ssize_t count =
        send(to.socket.get(), to.leaving.data(), to.leaving.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    if (count < 0 && errno == EINTR) continue;
    if (count < 0 && errno == EAGAIN) return;
    if (count < 0) {
      to.ended = true;
      return;
    }
    to.leaving.erase(0, static_cast<size_t>(count));
  }
}

bool LinkProxy::Drawn(uint32_t per_million) {
  return per_million != 0 && random_() % 1'000'000 < per_million;
}

}  // namespace millrace::chaos
