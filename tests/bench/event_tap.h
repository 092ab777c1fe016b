#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

namespace millrace::bench {

// Listens to what a broker announces (docs/protocol.md, "Events"). Owned and used by one thread.
class EventTap {
 public:
  struct Event {
    std::string topic;
    nlohmann::json body;
    std::chrono::steady_clock::time_point at;  // when it arrived here
  };

  // Throws std::runtime_error if the endpoint cannot be connected to.
  explicit EventTap(const std::string& endpoint);
  ~EventTap();

  // Returns nullopt if nothing arrives within `limit`.
  std::optional<Event> Next(std::chrono::milliseconds limit);

 private:
  struct Socket;
  std::unique_ptr<Socket> socket_;
};

}  // namespace millrace::bench
