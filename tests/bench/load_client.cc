#include "tests/bench/load_client.h"

#include <arpa/inet.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <stdexcept>
#include <string_view>

#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr std::chrono::seconds kSilenceLimit{30};

// One keep-alive connection with at most one unanswered request.
class Connection {
 public:
  Connection(const LoadOptions& options, int epoll, uint32_t index)
      : socket_(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<uint16_t>(options.port));
    inet_pton(AF_INET, options.host.c_str(), &address.sin_addr);
    if (connect(socket_.get(), reinterpret_cast<sockaddr*>(&address), sizeof(address)) != 0) {
      throw std::runtime_error(std::string("cannot connect: ") + std::strerror(errno));
    }
    const int on = 1;
    setsockopt(socket_.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    epoll_event event = {.events = EPOLLIN, .data = {.u32 = index}};
    epoll_ctl(epoll, EPOLL_CTL_ADD, socket_.get(), &event);
  }

  bool busy() const { return busy_; }
  Clock::time_point due() const { return due_; }

  // Send at once: a request is far smaller than the socket's buffer.
  void Send(const std::string& request, Clock::time_point due) {
    if (send(socket_.get(), request.data(), request.size(), MSG_NOSIGNAL) !=
        static_cast<ssize_t>(request.size())) {
      throw std::runtime_error("cannot send");
    }
    due_ = due;
    busy_ = true;
    answer_.clear();
  }

  // Reads the arrived bytes. Returns the status when the answer is complete.
  std::optional<int> Receive() {
    std::array<char, 16384> block;
    const ssize_t count = recv(socket_.get(), block.data(), block.size(), MSG_DONTWAIT);
    if (count < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
    if (count <= 0) throw std::runtime_error("the service closed a connection");
    answer_.append(block.data(), static_cast<size_t>(count));
    const size_t end_of_head = answer_.find("\r\n\r\n");
    if (end_of_head == std::string::npos) return std::nullopt;
    if (answer_.size() < end_of_head + 4 + BodyBytes(end_of_head)) return std::nullopt;
    busy_ = false;
    return std::stoi(answer_.substr(answer_.find(' ') + 1, 3));
  }

 private:
  size_t BodyBytes(size_t end_of_head) const {
    static constexpr std::string_view kName = "\r\nContent-Length: ";
    const std::string_view head(answer_.data(), end_of_head);
    const size_t at = head.find(kName);
    if (at == std::string_view::npos) throw std::runtime_error("an answer without a length");
    size_t bytes = 0;
    std::from_chars(head.data() + at + kName.size(), head.data() + head.size(), bytes);
    return bytes;
  }

  UniqueFd socket_;
  bool busy_ = false;
  Clock::time_point due_{};
  std::string answer_;
};

class Load {
 public:
  explicit Load(const LoadOptions& options)
      : options_(options), epoll_(epoll_create1(EPOLL_CLOEXEC)), request_(RequestText(options)) {
    connections_.reserve(static_cast<size_t>(options.connections));
    for (int i = 0; i < options.connections; ++i) {
      connections_.emplace_back(options, epoll_.get(), static_cast<uint32_t>(i));
      idle_.push_back(static_cast<size_t>(i));
    }
  }

  LoadResult Run() {
    start_ = Clock::now();
    end_ = start_ + options_.duration;
    SendDue();
    while (idle_.size() < connections_.size() || (Clock::now() < end_ && !SentAll())) {
      TakeAnswers();
      SendDue();
    }
    result_.seconds = std::chrono::duration<double>(last_answer_ - start_).count();
    return std::move(result_);
  }

 private:
  static std::string RequestText(const LoadOptions& options) {
    return "POST " + options.path + " HTTP/1.1\r\nHost: " + options.host +
           "\r\nContent-Type: application/json\r\nContent-Length: " +
           std::to_string(options.body.size()) + "\r\n\r\n" + options.body;
  }

  // Returns when the next request is due.
  Clock::time_point NextDue(Clock::time_point now) const {
    if (!options_.rate) return now;
    return start_ + std::chrono::duration_cast<Clock::duration>(
                        std::chrono::duration<double>(static_cast<double>(sent_) / *options_.rate));
  }

  bool SentAll() const { return options_.limit > 0 && sent_ >= options_.limit; }

  void SendDue() {
    const auto now = Clock::now();
    while (!idle_.empty() && now < end_ && !SentAll()) {
      const auto due = NextDue(now);
      if (due > now || due >= end_) break;
      connections_[idle_.back()].Send(request_, due);
      idle_.pop_back();
      ++sent_;
    }
  }

  void TakeAnswers() {
    std::array<epoll_event, 64> events;
    const int count = epoll_wait(epoll_.get(), events.data(), events.size(), WaitMs());
    const auto now = Clock::now();
    if (count > 0) last_heard_ = now;
    if (now - std::max(last_heard_, start_) > kSilenceLimit) {
      throw std::runtime_error("the service has stopped answering");
    }
    for (int i = 0; i < count; ++i) {
      Connection& connection = connections_[events[i].data.u32];
      const auto status = connection.Receive();
      if (!status) continue;
      idle_.push_back(events[i].data.u32);
      last_answer_ = now;
      ++(*status == options_.expected_status ? result_.answered : result_.refused);
      result_.latencies_ms.push_back(
          std::chrono::duration<double, std::milli>(now - connection.due()).count());
    }
  }

  int WaitMs() const {
    if (!options_.rate || idle_.empty()) return 1000;
    const auto left = NextDue(Clock::now()) - Clock::now();
    // Round down and spin for the last fraction of a millisecond, so that pacing costs no latency.
    return static_cast<int>(std::clamp<int64_t>(
        std::chrono::duration_cast<std::chrono::milliseconds>(left).count(), 0, 1000));
  }

  const LoadOptions& options_;
  const UniqueFd epoll_;
  const std::string request_;
  std::vector<Connection> connections_;
  std::vector<size_t> idle_;
  size_t sent_ = 0;
  Clock::time_point start_{};
  Clock::time_point end_{};
  Clock::time_point last_answer_{};
  Clock::time_point last_heard_{};
  LoadResult result_;
};

}  // namespace

LoadResult RunLoad(const LoadOptions& options) { return Load(options).Run(); }

}  // namespace millrace::bench
