#include "transcoder/zygote_protocol.h"

#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "core/base/error.h"
#include "core/base/json_text.h"

namespace millrace {
namespace {

[[noreturn]] void ThrowErrno(const char* what) {
  const int error = errno;
  const bool gone = error == EPIPE || error == ECONNRESET || error == ENOTCONN;
  throw Error(gone ? ErrorCode::kWorkerLost : ErrorCode::kInternal,
              std::string(what) + ": " + std::strerror(error), {{"errno", error}});
}

std::vector<UniqueFd> TakeDescriptors(msghdr& header) {
  std::vector<UniqueFd> fds;
  for (cmsghdr* control = CMSG_FIRSTHDR(&header); control != nullptr;
       control = CMSG_NXTHDR(&header, control)) {
    if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS) continue;
    const size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);
    for (size_t i = 0; i < count; ++i) {
      int fd = -1;
      std::memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
      fds.emplace_back(fd);
    }
  }
  return fds;
}

ZygoteRequest RequestFrom(Packet packet) {
  const nlohmann::json& body = packet.body;
  if (body.contains("run")) {
    if (packet.fds.size() != 2) {
      throw Error(ErrorCode::kProtocolError, "a run comes with two descriptors: report and log");
    }
    return ZygoteRun{.task_path = body.at("run"),
                     .token = body.at("token"),
                     .report = std::move(packet.fds[0]),
                     .log = std::move(packet.fds[1])};
  }
  return ZygoteKill{.token = body.at("kill"), .signal = body.at("signal")};
}

ZygoteReply ReplyFrom(const nlohmann::json& body) {
  if (body.contains("started")) {
    return ZygoteStarted{.token = body.at("started"), .pid = body.at("pid")};
  }
  if (body.contains("exited")) {
    return ZygoteExited{.token = body.at("exited"),
                        .pid = body.at("pid"),
                        .wait_status = body.at("status"),
                        .peak_rss_bytes = body.at("peak_rss_bytes"),
                        .cpu_seconds = body.at("cpu_seconds")};
  }
  return ZygoteRefused{.token = body.at("refused"), .detail = body.at("detail")};
}

struct ReplyToJson {
  nlohmann::json operator()(const ZygoteStarted& started) const {
    return {{"started", started.token}, {"pid", started.pid}};
  }
  nlohmann::json operator()(const ZygoteExited& exited) const {
    return {{"exited", exited.token},
            {"pid", exited.pid},
            {"status", exited.wait_status},
            {"peak_rss_bytes", exited.peak_rss_bytes},
            {"cpu_seconds", exited.cpu_seconds}};
  }
  nlohmann::json operator()(const ZygoteRefused& refused) const {
    return {{"refused", refused.token}, {"detail", refused.detail}};
  }
};

// Receives a packet as a `T` made by `convert`; throws kProtocolError for one that is not.
template <typename T, typename Convert>
Received<T> ReceiveAs(int socket, ReceiveOptions options, Convert convert) {
  Received<Packet> packet = ReceiveMessage(socket, options);
  if (packet.status != ReceiveStatus::kMessage) return {.status = packet.status, .value = {}};
  try {
    return {.status = ReceiveStatus::kMessage, .value = convert(std::move(*packet.value))};
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kProtocolError,
                std::string("not a message of the zygote's protocol: ") + error.what());
  }
}

}  // namespace

ZygoteChannel MakeZygoteChannel() {
  std::array<int, 2> ends{};
  if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0) {
    ThrowErrno("make a channel to the zygote");
  }
  return {.worker = UniqueFd(ends[0]), .zygote = UniqueFd(ends[1])};
}

void SendMessage(int socket, const nlohmann::json& body, std::span<const int> fds) {
  const std::string text = ToText(body);
  if (text.size() > kMaxPacketBytes || fds.size() > kMaxPacketFds) {
    throw Error(ErrorCode::kProtocolError, "a message to or from the zygote is too large");
  }
  iovec data{.iov_base = const_cast<char*>(text.data()), .iov_len = text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxPacketFds * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  if (!fds.empty()) {
    header.msg_control = control.data();
    header.msg_controllen = CMSG_SPACE(fds.size_bytes());
    cmsghdr* rights = CMSG_FIRSTHDR(&header);
    rights->cmsg_level = SOL_SOCKET;
    rights->cmsg_type = SCM_RIGHTS;
    rights->cmsg_len = CMSG_LEN(fds.size_bytes());
    std::memcpy(CMSG_DATA(rights), fds.data(), fds.size_bytes());
  }
  while (sendmsg(socket, &header, MSG_NOSIGNAL) < 0) {
    if (errno != EINTR) ThrowErrno("send to the other end of the zygote's channel");
  }
}

Received<Packet> ReceiveMessage(int socket, ReceiveOptions options) {
  std::string text(kMaxPacketBytes, '\0');
  iovec data{.iov_base = text.data(), .iov_len = text.size()};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(kMaxPacketFds * sizeof(int))> control{};
  msghdr header{};
  header.msg_iov = &data;
  header.msg_iovlen = 1;
  header.msg_control = control.data();
  header.msg_controllen = control.size();
  ssize_t size = 0;
  const int flags = MSG_CMSG_CLOEXEC | (options.dont_wait ? MSG_DONTWAIT : 0);
  while ((size = recvmsg(socket, &header, flags)) < 0) {
    if (errno == EINTR) continue;
    if (errno == EAGAIN || errno == EWOULDBLOCK) return {};
    if (errno == ECONNRESET) return {.status = ReceiveStatus::kClosed, .value = {}};
    ThrowErrno("receive from the other end of the zygote's channel");
  }
  Packet packet{.body = {}, .fds = TakeDescriptors(header)};
  // Takes an empty packet for the end: nobody sends one.
  if (size == 0) return {.status = ReceiveStatus::kClosed, .value = {}};
  if ((header.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) != 0) {
    throw Error(ErrorCode::kProtocolError, "a message to or from the zygote is too large");
  }
  text.resize(static_cast<size_t>(size));
  packet.body = nlohmann::json::parse(text, nullptr, false);
  if (!packet.body.is_object()) {
    throw Error(ErrorCode::kProtocolError, "a message to or from the zygote is not JSON");
  }
  return {.status = ReceiveStatus::kMessage, .value = std::move(packet)};
}

void SendRequest(int socket, const ZygoteRun& run) {
  const std::array<int, 2> fds = {run.report.get(), run.log.get()};
  SendMessage(socket, {{"run", run.task_path}, {"token", run.token}}, fds);
}

void SendRequest(int socket, const ZygoteKill& kill) {
  SendMessage(socket, {{"kill", kill.token}, {"signal", kill.signal}});
}

void SendReply(int socket, const ZygoteReply& reply) {
  SendMessage(socket, std::visit(ReplyToJson{}, reply));
}

Received<ZygoteRequest> ReceiveRequest(int socket, ReceiveOptions options) {
  return ReceiveAs<ZygoteRequest>(socket, options,
                                  [](Packet packet) { return RequestFrom(std::move(packet)); });
}

Received<ZygoteReply> ReceiveReply(int socket, ReceiveOptions options) {
  return ReceiveAs<ZygoteReply>(socket, options,
                                [](const Packet& packet) { return ReplyFrom(packet.body); });
}

}  // namespace millrace
