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

// Which of the broker's two ROUTERs a message came in by.
enum class Door { kClient, kWorker };

struct Received {
  Door door = Door::kClient;
  std::string peer;  // the ROUTER's name for the connection; bytes, not text
  Frames frames;     // without it; of a message with very many frames, only the first few
};

struct Arrivals {
  std::vector<Received> messages;
  // Connections of workers that have closed: the peer did so, or its process is gone. What they had
  // brought may still be among the messages, or come later. One that was never heard, or that ends
  // without a word (a frozen or unplugged host), is not among them.
  std::vector<std::string> closed;
  bool stop = false;  // the stop descriptor is readable
};

enum class SendResult {
  kSent,
  kUnreachable,  // no such connection any more
  kFull,         // the peer does not take what it is sent
};

// Asks the broker that listens at `endpoint`, as a client. Throws Error{kBrokerUnavailable} if
// there is no answer in time, or the error that is the answer.
Message AskBroker(const std::string& endpoint, const Message& request,
                  std::chrono::milliseconds timeout);

// The broker's three sockets, and the only file that knows ZeroMQ. Owned by the broker's loop and
// used by its thread alone. Nothing in here blocks except Receive().
class Sockets {
 public:
  // Binds; a stale ipc socket file is replaced. A worker's connection that is dead silent is closed
  // by us, but not before `lease`. Throws Error{kInvalidRequest} naming the endpoint that cannot be
  // bound.
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
