#include "tests/transcoder/worker/scripted_broker.h"

#include <algorithm>
#include <utility>
#include <zmq.hpp>

namespace millrace::worker {
namespace {

using namespace std::chrono_literals;
using SteadyTime = std::chrono::steady_clock::time_point;

constexpr auto kPatience = 20s;
constexpr auto kSlice = 20ms;  // how often ServeUntil looks

}  // namespace

struct ScriptedBroker::Impl {
  zmq::context_t context{1};
  zmq::socket_t socket{context, zmq::socket_type::router};
};

ScriptedBroker::ScriptedBroker(std::string endpoint, Options options)
    : impl_(std::make_unique<Impl>()), options_(options) {
  impl_->socket.set(zmq::sockopt::linger, 0);
  impl_->socket.bind(endpoint);
}

ScriptedBroker::~ScriptedBroker() = default;

std::optional<Message> ScriptedBroker::Await(std::string_view type) {
  return Await(type, [](const Message&) { return true; });
}

std::optional<Message> ScriptedBroker::Await(std::string_view type,
                                             const std::function<bool(const Message&)>& wanted) {
  const SteadyTime end = std::chrono::steady_clock::now() + kPatience;
  while (std::chrono::steady_clock::now() < end) {
    std::optional<Message> message = ReceiveBefore(end);
    if (message && message->type == type && wanted(*message)) return message;
  }
  return std::nullopt;
}

bool ScriptedBroker::ServeUntil(const std::function<bool()>& happened) {
  const SteadyTime end = std::chrono::steady_clock::now() + kPatience;
  while (!happened()) {
    const SteadyTime now = std::chrono::steady_clock::now();
    if (now >= end) return false;
    ReceiveBefore(std::min<SteadyTime>(end, now + kSlice));
  }
  return true;
}

void ScriptedBroker::Send(std::string_view type, nlohmann::json body, const std::string& id) {
  if (body.is_null()) body = nlohmann::json::object();
  Frames frames = EncodeMessage({.type = std::string(type), .id = id, .body = std::move(body)});
  impl_->socket.send(zmq::buffer(peer_), zmq::send_flags::sndmore);
  for (size_t i = 0; i < frames.size(); ++i) {
    impl_->socket.send(zmq::buffer(frames[i]),
                       i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none);
  }
}

void ScriptedBroker::Reply(const Message& to, std::string_view type, nlohmann::json body) {
  Send(type, std::move(body), to.id);
}

std::optional<Message> ScriptedBroker::ReceiveBefore(SteadyTime end) {
  const auto left =
      std::chrono::ceil<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
  impl_->socket.set(zmq::sockopt::rcvtimeo, static_cast<int>(std::max<int64_t>(0, left.count())));
  zmq::message_t frame;
  if (!impl_->socket.recv(frame)) return std::nullopt;
  peer_ = frame.to_string();
  Frames frames;
  while (frame.more() && impl_->socket.recv(frame)) frames.push_back(frame.to_string());
  Message message = DecodeMessage(frames);
  heard_.insert(message.type);
  Answer(message);
  return message;
}

void ScriptedBroker::Answer(const Message& message) {
  if (message.type == message::kRegister) {
    known_ = true;
    Reply(message, message::kRegistered,
          {{"lease_seconds", options_.lease_seconds},
           {"beat_seconds", options_.beat_seconds},
           {"lost", nlohmann::json::array()}});
  } else if (message.type == message::kGoodbye) {
    Reply(message, message::kAck);
  } else if (message.type == message::kBeat && !known_) {
    Reply(message, message::kUnknownWorker);
  } else if (message.type == message::kBeat && !silent_) {
    Reply(message, message::kOrders,
          {{"cancel", nlohmann::json::array()}, {"lost", nlohmann::json::array()}});
  }
}

}  // namespace millrace::worker
