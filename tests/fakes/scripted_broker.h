#pragma once

#include <sys/eventfd.h>
#include <unistd.h>

#include <chrono>
#include <condition_variable>
#include <functional>
#include <map>
#include <mutex>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <variant>
#include <vector>
#include <zmq.hpp>

#include "core/base/error.h"
#include "core/model/message.h"

namespace millrace {

// A fake broker for clients, on real sockets: a ROUTER that answers each type of request by a
// function, and a PUB. Runs from the start; Stop() and Start() simulate an outage. The test's
// thread calls the methods; scripts run on the broker's own thread.
class ScriptedBroker {
 public:
  // The body of `ok`, an error, or nothing for a broker that does not answer.
  using Reply = std::variant<std::monostate, nlohmann::json, Error>;
  using Script = std::function<Reply(const nlohmann::json& body)>;
  static constexpr std::chrono::seconds kPatience{20};

  ScriptedBroker(std::string client_endpoint, std::string event_endpoint)
      : client_endpoint_(std::move(client_endpoint)), event_endpoint_(std::move(event_endpoint)) {
    Start();
  }
  ~ScriptedBroker() { Stop(); }
  ScriptedBroker(const ScriptedBroker&) = delete;
  ScriptedBroker& operator=(const ScriptedBroker&) = delete;

  void On(std::string_view type, Script script) {
    const std::lock_guard lock(mutex_);
    scripts_[std::string(type)] = std::move(script);
  }

  void Start() {
    stopping_ = false;
    subscribed_ = false;
    router_ = zmq::socket_t(context_, zmq::socket_type::router);
    router_.set(zmq::sockopt::linger, 0);
    router_.bind(client_endpoint_);
    events_ = zmq::socket_t(context_, zmq::socket_type::xpub);
    events_.set(zmq::sockopt::linger, 0);
    events_.bind(event_endpoint_);
    thread_ = std::thread([this] { Run(); });
  }
  void Stop() {
    if (!thread_.joinable()) return;
    stopping_ = true;
    Ring();
    thread_.join();
    router_.close();
    events_.close();
  }

  // Publishes when a subscriber of both topics is there. Throws if none comes.
  void Publish(std::string_view topic, const nlohmann::json& body) {
    std::unique_lock lock(mutex_);
    if (!changed_.wait_for(lock, kPatience, [this] { return subscribed_.load(); })) {
      throw std::runtime_error("nobody subscribes to the events");
    }
    outgoing_.emplace_back(topic, body.dump());
    lock.unlock();
    Ring();
  }

  // Returns the body of the `nth` request of this type. Throws if it does not come.
  nlohmann::json Request(std::string_view type, size_t nth = 1) {
    std::unique_lock lock(mutex_);
    const std::string key(type);
    if (!changed_.wait_for(lock, kPatience, [&] { return requests_[key].size() >= nth; })) {
      throw std::runtime_error("the broker was not asked to " + key);
    }
    return requests_[key][nth - 1].body;
  }
  std::vector<Message> Requests(std::string_view type) {
    const std::lock_guard lock(mutex_);
    return requests_[std::string(type)];
  }

 private:
  void Ring() {
    const uint64_t one = 1;
    if (::write(wake_up_, &one, sizeof one) < 0) throw std::runtime_error("eventfd");
  }

  void Run() {
    while (!stopping_) {
      zmq::pollitem_t items[] = {{router_.handle(), 0, ZMQ_POLLIN, 0},
                                 {events_.handle(), 0, ZMQ_POLLIN, 0},
                                 {nullptr, wake_up_, ZMQ_POLLIN, 0}};
      zmq::poll(items, 3, std::chrono::milliseconds(-1));
      if ((items[2].revents & ZMQ_POLLIN) != 0) PublishWaiting();
      if ((items[1].revents & ZMQ_POLLIN) != 0) TakeSubscription();
      if ((items[0].revents & ZMQ_POLLIN) != 0) Serve();
    }
  }

  void PublishWaiting() {
    uint64_t count = 0;
    if (::read(wake_up_, &count, sizeof count) < 0) return;
    const std::lock_guard lock(mutex_);
    for (const auto& [topic, body] : outgoing_) {
      events_.send(zmq::buffer(topic), zmq::send_flags::sndmore);
      events_.send(zmq::buffer(body), zmq::send_flags::none);
    }
    outgoing_.clear();
  }

  void TakeSubscription() {
    zmq::message_t subscription;
    while (events_.recv(subscription, zmq::recv_flags::dontwait)) {
      const std::string asked = subscription.to_string();
      if (asked.substr(1) == "progress") subscribed_ = asked[0] == '\x01';
    }
    const std::lock_guard lock(mutex_);
    changed_.notify_all();
  }

  void Serve() {
    Frames frames;
    zmq::message_t frame;
    do {
      if (!router_.recv(frame)) return;
      frames.push_back(frame.to_string());
    } while (frame.more());
    const std::string peer = frames.front();
    frames.erase(frames.begin());
    const Message request = DecodeMessage(frames);
    Script script;
    {
      const std::lock_guard lock(mutex_);
      requests_[request.type].push_back(request);
      changed_.notify_all();
      if (scripts_.contains(request.type)) script = scripts_[request.type];
    }
    const Reply reply = script ? script(request.body)
                               : Error(ErrorCode::kProtocolError, "no script for " + request.type);
    if (const auto* body = std::get_if<nlohmann::json>(&reply)) {
      Send(peer, {.type = std::string(message::kOk), .id = request.id, .body = *body});
    } else if (const auto* error = std::get_if<Error>(&reply)) {
      Send(peer, ErrorReply(request.id, *error));
    }
  }

  void Send(const std::string& peer, const Message& message) {
    router_.send(zmq::buffer(peer), zmq::send_flags::sndmore);
    const Frames frames = EncodeMessage(message);
    for (size_t i = 0; i < frames.size(); ++i) {
      router_.send(zmq::buffer(frames[i]),
                   i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  }

  const std::string client_endpoint_;
  const std::string event_endpoint_;
  const int wake_up_ = ::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  zmq::context_t context_;
  zmq::socket_t router_;
  zmq::socket_t events_;
  std::atomic<bool> stopping_{false};
  std::atomic<bool> subscribed_{false};

  std::mutex mutex_;  // guards what follows
  std::condition_variable changed_;
  std::map<std::string, Script> scripts_;
  std::map<std::string, std::vector<Message>> requests_;
  std::vector<std::pair<std::string, std::string>> outgoing_;

  std::thread thread_;
};

}  // namespace millrace
