#pragma once

#include <algorithm>
#include <chrono>
#include <deque>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>
#include <zmq.hpp>

#include "core/base/id.h"
#include "core/model/message.h"

namespace millrace {

// The longest wait for a message that must come; a test reaches it only if something is broken.
inline constexpr std::chrono::seconds kPatience{30};

// A client or worker played by a test: a DEALER that exchanges real frames with a real broker. Used
// by one thread. Keeps messages that the test has not waited for until it asks for them.
class ScriptedPeer {
 public:
  ScriptedPeer() { socket_.set(zmq::sockopt::linger, 0); }
  explicit ScriptedPeer(const std::string& endpoint) : ScriptedPeer() { Connect(endpoint); }

  // Connects a peer that was made without an endpoint.
  void Connect(const std::string& endpoint) { socket_.connect(endpoint); }

  void SendFrames(const Frames& frames) {
    for (size_t i = 0; i < frames.size(); ++i) {
      const bool more = i + 1 < frames.size();
      socket_.send(zmq::buffer(frames[i]), more ? zmq::send_flags::sndmore : zmq::send_flags::none);
    }
  }

  // Delivers the message even if this peer is destroyed next.
  void SendBeforeClosing() {
    const std::chrono::milliseconds patience = kPatience;
    socket_.set(zmq::sockopt::linger, static_cast<int>(patience.count()));
  }

  // Returns the message id.
  std::string Send(const std::string& type, const nlohmann::json& body) {
    const Message message{.type = type, .id = NewMessageId(), .body = body};
    SendFrames(EncodeMessage(message));
    return message.id;
  }

  // Sends the message and returns the reply to it.
  Message Ask(const std::string& type, const nlohmann::json& body) {
    const std::string id = Send(type, body);
    return ExpectWhere([&](const Message& message) { return message.id == id; },
                       "the answer to " + type);
  }

  Message Expect(const std::string& type) {
    return ExpectWhere([&](const Message& message) { return message.type == type; }, type);
  }

  Message ExpectWhere(const std::function<bool(const Message&)>& wanted, const std::string& what) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (true) {
      const auto found = std::ranges::find_if(kept_, wanted);
      if (found != kept_.end()) {
        Message message = std::move(*found);
        kept_.erase(found);
        return message;
      }
      if (!ReceiveOne(deadline)) {
        std::string others;
        for (const Message& message : kept_) others += " " + message.type;
        throw std::runtime_error("no " + what + " came; others:" + others);
      }
    }
  }

  // Receives for `time`, and returns whether a message of that type was among the arrivals.
  bool HasWithin(std::chrono::milliseconds time, const std::string& type) {
    const auto deadline = std::chrono::steady_clock::now() + time;
    while (ReceiveOne(deadline)) {
    }
    return std::ranges::find(kept_, type, &Message::type) != kept_.end();
  }

 private:
  bool ReceiveOne(std::chrono::steady_clock::time_point deadline) {
    const auto left = std::max(
        std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now()),
        std::chrono::milliseconds(0));
    std::vector<zmq::pollitem_t> items = {{socket_.handle(), 0, ZMQ_POLLIN, 0}};
    if (zmq::poll(items, left) == 0) return false;
    Frames frames;
    zmq::message_t part;
    do {
      if (!socket_.recv(part, zmq::recv_flags::none)) return false;
      frames.push_back(part.to_string());
    } while (part.more());
    kept_.push_back(DecodeMessage(frames));
    return true;
  }

  zmq::context_t context_{1};
  zmq::socket_t socket_{context_, zmq::socket_type::dealer};
  std::deque<Message> kept_;
};

// A worker with a name and the usual messages.
class ScriptedWorker : public ScriptedPeer {
 public:
  ScriptedWorker(const std::string& endpoint, std::string name)
      : ScriptedPeer(endpoint), name_(std::move(name)) {}

  const std::string& name() const { return name_; }
  const std::string& instance() const { return instance_; }
  // Registers as a new process of the same worker.
  void Restart() { instance_ = NewId("ins_"); }

  Message Register(const nlohmann::json& running = nlohmann::json::array()) {
    return Ask("register", RegisterBody(running));
  }

  nlohmann::json RegisterBody(const nlohmann::json& running = nlohmann::json::array()) const {
    return {{"name", name_},
            {"instance", instance_},
            {"slots", slots},
            {"probe_slots", 1},
            {"encoders", {"h264", "aac", "mjpeg", "png", "mp3", "opus"}},
            {"cores", 4},
            {"memory_bytes", 1 << 30},
            {"labels", nlohmann::json::object()},
            {"versions", {{"build", "test"}}},
            {"running", running}};
  }

  Message Beat(const nlohmann::json& tasks = nlohmann::json::array()) {
    return Ask("beat", {{"instance", instance_}, {"draining", false}, {"tasks", tasks}});
  }

  // One entry of a beat's tasks, for an assignment.
  static nlohmann::json Running(const Message& assign, int percent) {
    return {{"task", assign.body.at("task")},
            {"fence", assign.body.at("fence")},
            {"progress",
             {{"percent", percent},
              {"phase", "transcoding"},
              {"frames", percent * 10},
              {"fps", 25.0},
              {"speed", 1.0},
              {"media_seconds", 1.0},
              {"outputs", nlohmann::json::array()},
              {"eta_seconds", nullptr}}}};
  }

  nlohmann::json About(const Message& assign) const {
    return {{"instance", instance_},
            {"task", assign.body.at("task")},
            {"fence", assign.body.at("fence")}};
  }

  Message Fail(const Message& assign, const std::string& code) {
    nlohmann::json body = About(assign);
    body["failure"] = {{"error", {{"code", code}, {"detail", "as the test says"}}},
                       {"usage", {{"peak_rss_bytes", 1}, {"cpu_seconds", 0.1}}},
                       {"log_tail", {"last words"}}};
    return Ask("failed", body);
  }

  int slots = 1;

 private:
  const std::string name_;
  std::string instance_ = NewId("ins_");
};

// Subscribes to the broker's events. Construct it before the events happen.
class EventListener {
 public:
  EventListener(const std::string& endpoint, const std::string& topic) {
    socket_.set(zmq::sockopt::linger, 0);
    socket_.set(zmq::sockopt::subscribe, topic);
    socket_.connect(endpoint);
  }

  // Returns whether an event arrives within `time`, without taking it.
  bool HearsWithin(std::chrono::milliseconds time) {
    std::vector<zmq::pollitem_t> items = {{socket_.handle(), 0, ZMQ_POLLIN, 0}};
    return zmq::poll(items, time) > 0;
  }

  nlohmann::json ExpectWhere(const std::function<bool(const nlohmann::json&)>& wanted) {
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
    while (std::chrono::steady_clock::now() < deadline) {
      std::vector<zmq::pollitem_t> items = {{socket_.handle(), 0, ZMQ_POLLIN, 0}};
      if (zmq::poll(items, kPatience) == 0) break;
      zmq::message_t topic;
      zmq::message_t body;
      if (!socket_.recv(topic) || !socket_.recv(body)) break;
      nlohmann::json event = nlohmann::json::parse(body.to_string());
      if (wanted(event)) return event;
    }
    throw std::runtime_error("the event did not come");
  }

 private:
  zmq::context_t context_{1};
  zmq::socket_t socket_{context_, zmq::socket_type::sub};
};

}  // namespace millrace
