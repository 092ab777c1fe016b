#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cctype>
#include <cstdint>
#include <functional>
#include <map>
#include <mutex>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/base/unique_fd.h"

namespace millrace {

struct FakeHttpRequest {
  std::string method;
  std::string target;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
};

struct FakeHttpReply {
  int status = 200;  // 0: none; the connection is closed without an answer
  std::string body;
  std::vector<std::string> headers;  // "Name: value"
};

// Serves HTTP on loopback. A function of the test makes each answer, and each request has a
// connection of its own. The function runs on the connections' threads, one call at a time.
class FakeHttpServer {
 public:
  using Answer = std::function<FakeHttpReply(const FakeHttpRequest& request)>;

  explicit FakeHttpServer(Answer answer, uint16_t port = 0) : answer_(std::move(answer)) {
    listener_.Reset(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    const int on = 1;
    setsockopt(listener_.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons(port);
    socklen_t length = sizeof(address);
    if (bind(listener_.get(), reinterpret_cast<sockaddr*>(&address), length) != 0 ||
        listen(listener_.get(), 16) != 0) {
      throw std::runtime_error("cannot listen");
    }
    getsockname(listener_.get(), reinterpret_cast<sockaddr*>(&address), &length);
    port_ = ntohs(address.sin_port);
    thread_ = std::jthread([this] { Accept(); });
  }
  ~FakeHttpServer() {
    shutdown(listener_.get(), SHUT_RDWR);  // ends accept()
    thread_.join();
  }
  FakeHttpServer(const FakeHttpServer&) = delete;
  FakeHttpServer& operator=(const FakeHttpServer&) = delete;

  uint16_t port() const { return port_; }
  std::string url() const { return "http://127.0.0.1:" + std::to_string(port_); }
  std::vector<FakeHttpRequest> requests() const {
    const std::lock_guard lock(mutex_);
    return requests_;
  }

 private:
  void Accept() {
    std::vector<std::jthread> connections;
    while (true) {
      const int fd = accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
      if (fd < 0) return;
      connections.emplace_back([this, fd] { Serve(UniqueFd(fd)); });
    }
  }

  void Serve(const UniqueFd& connection) {
    std::string bytes;
    while (bytes.find("\r\n\r\n") == std::string::npos) {
      if (!Receive(connection.get(), bytes)) return;
    }
    FakeHttpRequest request = ParseHead(bytes);
    if (request.headers.contains("expect")) Send(connection.get(), "HTTP/1.1 100 Continue\r\n\r\n");
    request.body = ReadBody(connection.get(), request, bytes.substr(bytes.find("\r\n\r\n") + 4));
    const std::lock_guard lock(mutex_);
    requests_.push_back(request);
    const FakeHttpReply reply = answer_(request);
    if (reply.status == 0) return;
    std::string text = "HTTP/1.1 " + std::to_string(reply.status) + " Fake\r\n";
    for (const std::string& header : reply.headers) text += header + "\r\n";
    if (reply.status != 304 && reply.status != 204)
      text += "Content-Length: " + std::to_string(reply.body.size()) + "\r\n";
    Send(connection.get(), text + "Connection: close\r\n\r\n" + reply.body);
  }

  static FakeHttpRequest ParseHead(const std::string& bytes) {
    FakeHttpRequest request;
    const size_t space = bytes.find(' ');
    request.method = bytes.substr(0, space);
    request.target = bytes.substr(space + 1, bytes.find(' ', space + 1) - space - 1);
    size_t at = bytes.find("\r\n") + 2;
    while (bytes.compare(at, 2, "\r\n") != 0) {
      const size_t end = bytes.find("\r\n", at);
      const size_t colon = bytes.find(':', at);
      std::string name = bytes.substr(at, colon - at);
      for (char& c : name) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
      request.headers[name] = bytes.substr(colon + 2, end - colon - 2);
      at = end + 2;
    }
    return request;
  }

  static std::string ReadBody(int fd, const FakeHttpRequest& request, std::string bytes) {
    if (request.headers.contains("transfer-encoding")) {
      while (!bytes.ends_with("0\r\n\r\n") && Receive(fd, bytes)) {
      }
      return Unchunked(bytes);
    }
    const auto length = request.headers.find("content-length");
    const size_t wanted = length == request.headers.end() ? 0 : std::stoul(length->second);
    while (bytes.size() < wanted && Receive(fd, bytes)) {
    }
    return bytes;
  }

  static std::string Unchunked(const std::string& bytes) {
    std::string body;
    for (size_t at = 0; at < bytes.size();) {
      const size_t size = std::stoul(bytes.substr(at), nullptr, 16);
      at = bytes.find("\r\n", at) + 2;
      body += bytes.substr(at, size);
      at += size + 2;
      if (size == 0) break;
    }
    return body;
  }

  static bool Receive(int fd, std::string& bytes) {
    std::array<char, 16 * 1024> block;
    const ssize_t got = recv(fd, block.data(), block.size(), 0);
    if (got > 0) bytes.append(block.data(), static_cast<size_t>(got));
    return got > 0;
  }

  static void Send(int fd, const std::string& text) {
    size_t sent = 0;
    while (sent < text.size()) {
      const ssize_t now = send(fd, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (now <= 0) return;
      sent += static_cast<size_t>(now);
    }
  }

  const Answer answer_;
  UniqueFd listener_;
  uint16_t port_ = 0;
  mutable std::mutex mutex_;
  std::vector<FakeHttpRequest> requests_;  // guarded by mutex_
  std::jthread thread_;
};

}  // namespace millrace
