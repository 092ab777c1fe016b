#pragma once

#include <string>
#include <zmq.hpp>

#include "core/model/message.h"

// Messages as ZeroMQ carries them. The one header that includes zmq.hpp; each program includes it
// in one file, the one with its sockets.

namespace millrace {

// Receives what has arrived; returns no frames if nothing has.
inline Frames ReceiveFrames(zmq::socket_t& socket) {
  Frames frames;
  zmq::message_t frame;
  // The frames of a message arrive together.
  while (socket.recv(frame, zmq::recv_flags::dontwait)) {
    frames.push_back(frame.to_string());
    if (!frame.more()) break;
  }
  return frames;
}

// Returns false if the socket takes nothing now: it takes a message whole or not at all.
inline bool SendFrames(zmq::socket_t& socket, const Frames& frames) {
  for (size_t i = 0; i < frames.size(); ++i) {
    const auto more = i + 1 < frames.size() ? zmq::send_flags::sndmore : zmq::send_flags::none;
    // Only the first frame can be refused.
    if (!socket.send(zmq::buffer(frames[i]), more | zmq::send_flags::dontwait)) return false;
  }
  return true;
}

// Returns the end of a pair on which ZeroMQ tells of the `events` of `watched`. REQUIRES: `place`
// is an inproc endpoint of its own. Close `watched` first: ZeroMQ waits for ever if the reader of
// a monitor is closed before what it watches.
inline zmq::socket_t MonitorOf(zmq::socket_t& watched, zmq::context_t& context,
                               const std::string& place, int events) {
  if (zmq_socket_monitor(watched.handle(), place.c_str(), events) != 0) throw zmq::error_t();
  zmq::socket_t monitor(context, zmq::socket_type::pair);
  monitor.set(zmq::sockopt::linger, 0);
  // ZeroMQ's own thread would wait where there is no room.
  monitor.set(zmq::sockopt::rcvhwm, 0);
  monitor.connect(place);
  return monitor;
}

}  // namespace millrace
