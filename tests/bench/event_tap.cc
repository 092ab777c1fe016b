#include "tests/bench/event_tap.h"

#include <zmq.h>

#include <stdexcept>

namespace millrace::bench {

struct EventTap::Socket {
  void* context = zmq_ctx_new();
  void* handle = zmq_socket(context, ZMQ_SUB);
  ~Socket() {
    zmq_close(handle);
    zmq_ctx_term(context);
  }
};

EventTap::EventTap(const std::string& endpoint) : socket_(std::make_unique<Socket>()) {
  zmq_setsockopt(socket_->handle, ZMQ_SUBSCRIBE, "", 0);
  if (zmq_connect(socket_->handle, endpoint.c_str()) != 0) {
    throw std::runtime_error("cannot connect to " + endpoint + ": " + zmq_strerror(zmq_errno()));
  }
}
EventTap::~EventTap() = default;

std::optional<EventTap::Event> EventTap::Next(std::chrono::milliseconds limit) {
  const int limit_ms = static_cast<int>(limit.count());
  zmq_setsockopt(socket_->handle, ZMQ_RCVTIMEO, &limit_ms, sizeof(limit_ms));
  std::string frames[2];
  for (std::string& frame : frames) {
    zmq_msg_t message;
    zmq_msg_init(&message);
    if (zmq_msg_recv(&message, socket_->handle, 0) < 0) return std::nullopt;
    frame.assign(static_cast<const char*>(zmq_msg_data(&message)), zmq_msg_size(&message));
    zmq_msg_close(&message);
  }
  return Event{.topic = frames[0],
               .body = nlohmann::json::parse(frames[1]),
               .at = std::chrono::steady_clock::now()};
}

}  // namespace millrace::bench
