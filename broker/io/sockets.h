#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/model/message.h"

namespace millrace::broker {

struct Endpoints {
  std::string client;
  std::string worker;
  std::string event;
};

// The broker's two ROUTERs.
enum class Door { kClient, kWorker };

struct Received {
  Door door = Door::kClient;
  std::string peer;  // the ROUTER's name for the connection; bytes, not text
  Frames frames;     // without it; of a message with very many frames, only the first few
};

struct Arrivals {
  std::vector<Received> messages;
  // Connections of workers that the peer has closed, or that ended with its process. Their messages
  // may still be in `messages`, or come later. Left out: connections that were never heard, and
  // those that fall silent without being closed (a frozen or unplugged host).
  std::vector<std::string> closed;
  bool stop = false;  // the stop descriptor is readable
};

enum class SendResult {
  kSent,
  kUnreachable,  // no such connection any more
  kFull,         // the peer does not take what it is sent
};

// Asks the broker that listens at `endpoint`, as a client. Throws Error{kBrokerUnavailable} without
// an answer in time, or the error that the broker answers.
Message AskBroker(const std::string& endpoint, const Message& request,
                  std::chrono::milliseconds timeout);

// The broker's three sockets, and the only file that knows ZeroMQ. Owned by the broker's loop and
// used by its thread alone. Nothing in here blocks except Receive().
class Sockets {
 public:
  // Binds, replacing stale ipc socket files. Closes a worker's connection that has been dead silent
  // for `lease` or longer. Throws Error{kInvalidRequest} naming the endpoint that cannot be bound.
  Sockets(const Endpoints& endpoints, std::chrono::milliseconds lease);
  ~Sockets();

  // Waits until a message has arrived, a worker's connection has closed, `stop_fd` or `wake_fd` is
  // readable or `timeout` is over (nullopt: for ever), then takes what is there: at most `limit`
  // messages from each door, workers' first.
  Arrivals Receive(int stop_fd, int wake_fd, std::optional<std::chrono::milliseconds> timeout,
                   size_t limit);

  // Never waits: a message that cannot be handed over now is dropped and counted.
  SendResult Send(Door door, const std::string& peer, const Message& message);
  // A subscriber that does not keep up loses events.
  void Publish(std::string_view topic, const nlohmann::json& body);

  // Messages dropped by Send() since the start.
  uint64_t dropped() const { return dropped_; }

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
  uint64_t dropped_ = 0;
};

}  // namespace millrace::broker
