#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdint>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>

namespace millrace {

struct RawReply {
  int status = 0;  // 0: the connection ended before the end of a head
  std::string head;
  std::string body;
  bool complete = false;  // the body has the length that its head announced

  // The first value of a field, empty if there is none.
  std::string Header(std::string_view name) const {
    for (size_t line = head.find("\r\n"); line != std::string::npos;
         line = head.find("\r\n", line + 2)) {
      const size_t at = line + 2;
      if (head.size() < at + name.size() + 1 || head[at + name.size()] != ':') continue;
      if (::strncasecmp(head.data() + at, name.data(), name.size()) != 0) continue;
      const size_t value = head.find_first_not_of(' ', at + name.size() + 1);
      return head.substr(value, head.find("\r\n", at) - value);
    }
    return {};
  }
};

// A client that sends exactly the given bytes, and knows just enough HTTP to find the end of an
// answer. Every wait throws after `kPatience`.
class RawHttpClient {
 public:
  static constexpr std::chrono::seconds kPatience{20};

  explicit RawHttpClient(uint16_t port, int receive_buffer_bytes = 0) {
    fd_ = ::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (receive_buffer_bytes > 0) {
      ::setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof receive_buffer_bytes);
    }
    const int one = 1;
    ::setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd_, reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0) {
      const int error = errno;
      ::close(fd_);
      throw std::runtime_error(std::string("connect: ") + std::strerror(error));
    }
  }
  RawHttpClient(RawHttpClient&& other) noexcept
      : fd_(std::exchange(other.fd_, -1)), input_(std::move(other.input_)) {}
  RawHttpClient(const RawHttpClient&) = delete;
  RawHttpClient& operator=(const RawHttpClient&) = delete;
  ~RawHttpClient() {
    if (fd_ >= 0) ::close(fd_);
  }

  // Returns false if the server has closed the connection.
  bool Send(std::string_view bytes) {
    while (!bytes.empty()) {
      Wait(POLLOUT);
      const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
      if (sent < 0 && errno != EAGAIN && errno != EINTR) return false;
      if (sent > 0) bytes.remove_prefix(static_cast<size_t>(sent));
    }
    return true;
  }
  // Sends what the socket takes without waiting; returns how much that was.
  size_t SendSome(std::string_view bytes) {
    const ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
    return sent > 0 ? static_cast<size_t>(sent) : 0;
  }

  // The reply without its body; status 0 if the connection ended before.
  RawReply ReadHead() {
    RawReply reply;
    size_t end = 0;
    while ((end = input_.find("\r\n\r\n")) == std::string::npos) {
      if (!Receive()) return reply;
    }
    reply.head = input_.substr(0, end + 2);
    input_.erase(0, end + 4);
    reply.status = std::stoi(reply.head.substr(9, 3));
    return reply;
  }
  RawReply ReadReply(bool to_head_request = false) {
    RawReply reply = ReadHead();
    if (reply.status == 0) return reply;
    if (to_head_request || reply.status < 200 || reply.status == 204 || reply.status == 304) {
      reply.complete = true;
    } else if (reply.Header("Transfer-Encoding") == "chunked") {
      reply.complete = ReadChunks(reply.body);
    } else if (const auto length = reply.Header("Content-Length"); !length.empty()) {
      reply.complete = ReadBytes(std::stoull(length), reply.body);
    } else {
      while (Receive()) {
      }
      reply.body = std::exchange(input_, {});
      reply.complete = !reset_;
    }
    return reply;
  }
  RawReply Exchange(std::string_view request) {
    Send(request);
    return ReadReply(request.starts_with("HEAD "));
  }
  // Reads to the end of the connection; returns what came.
  std::string ReadToEnd() {
    while (Receive()) {
    }
    return std::exchange(input_, {});
  }
  // Reads and drops `count` bytes.
  bool Skip(uint64_t count) {
    while (count > input_.size()) {
      count -= input_.size();
      input_.clear();
      if (!Receive()) return false;
    }
    input_.erase(0, count);
    return true;
  }
  // Appends the next chunk of a chunked body. Returns false at the body's end, and, with `was_last`
  // false, if the connection breaks off.
  bool ReadChunk(std::string& body, bool* was_last = nullptr) {
    size_t end = 0;
    while ((end = input_.find("\r\n")) == std::string::npos) {
      if (!Receive()) return false;
    }
    const uint64_t size = std::stoull(input_.substr(0, end), nullptr, 16);
    input_.erase(0, end + 2);
    std::string line_end;
    if (!ReadBytes(size, body) || !ReadBytes(2, line_end)) return false;
    if (was_last != nullptr) *was_last = size == 0;
    return size != 0;
  }
  bool AtEnd() { return input_.empty() && !Receive(); }
  bool WasReset() const { return reset_; }

  void CloseWrite() { ::shutdown(fd_, SHUT_WR); }
  void Close() { ::close(std::exchange(fd_, -1)); }
  void Reset() {
    const linger now{1, 0};
    ::setsockopt(fd_, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    Close();
  }

 private:
  void Wait(short events) {
    pollfd item{fd_, events, 0};
    const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(kPatience);
    if (::poll(&item, 1, static_cast<int>(patience.count())) == 0) {
      throw std::runtime_error("the server did nothing for " + std::to_string(kPatience.count()) +
                               " s");
    }
  }
  bool Receive() {
    Wait(POLLIN);
    char buffer[64 << 10];
    const ssize_t got = ::recv(fd_, buffer, sizeof buffer, 0);
    if (got < 0) reset_ = true;
    if (got <= 0) return false;
    input_.append(buffer, static_cast<size_t>(got));
    return true;
  }
  bool ReadBytes(uint64_t count, std::string& body) {
    while (input_.size() < count) {
      if (!Receive()) return false;
    }
    body += input_.substr(0, count);
    input_.erase(0, count);
    return true;
  }
  bool ReadChunks(std::string& body) {
    bool was_last = false;
    while (ReadChunk(body, &was_last)) {
    }
    return was_last;
  }

  int fd_ = -1;
  std::string input_;
  bool reset_ = false;
};

}  // namespace millrace
