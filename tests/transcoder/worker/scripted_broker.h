#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "core/model/message.h"

namespace millrace::worker {

// A broker that does what a test says: binds a real ROUTER socket and, unless told otherwise,
// answers registers and beats as the real one does. Everything else is left to the test. Used by
// the test's thread, only within its calls.
class ScriptedBroker {
 public:
  struct Options {
    double lease_seconds = 30;
    double beat_seconds = 0.5;
  };
  explicit ScriptedBroker(std::string endpoint) : ScriptedBroker(std::move(endpoint), Options{}) {}
  ScriptedBroker(std::string endpoint, Options options);
  ~ScriptedBroker();

  // Returns the next message of a type that satisfies `wanted`; handles and drops others. nullopt
  // if none comes within 20 s.
  std::optional<Message> Await(std::string_view type);
  std::optional<Message> Await(std::string_view type,
                               const std::function<bool(const Message&)>& wanted);
  // Serves until `happened`; false if it has not after 20 s.
  bool ServeUntil(const std::function<bool()>& happened);

  // Returns true if a message of that type has ever come.
  bool Heard(std::string_view type) const { return heard_.contains(type); }

  // Sends to the worker that was heard last.
  void Send(std::string_view type, nlohmann::json body, const std::string& id = "msg_broker");
  void Reply(const Message& to, std::string_view type, nlohmann::json body = {});

  // Stops answering beats; registers are still answered.
  void BeSilent() { silent_ = true; }
  // Answers beats with unknown_worker until the next register, as after a restart.
  void ForgetWorkers() { known_ = false; }

 private:
  std::optional<Message> ReceiveBefore(std::chrono::steady_clock::time_point end);
  void Answer(const Message& message);

  struct Impl;
  std::unique_ptr<Impl> impl_;
  const Options options_;
  std::string peer_;
  std::set<std::string, std::less<>> heard_;  // types
  bool silent_ = false;
  bool known_ = false;
};

}  // namespace millrace::worker
