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

  // The next message of a type that satisfies `wanted`; others are handled and forgotten. nullopt
  // if it does not come within 20 s.
  std::optional<Message> Await(std::string_view type);
  std::optional<Message> Await(std::string_view type,
                               const std::function<bool(const Message&)>& wanted);
  // Serves until `happened`; false if it has not after 20 s.
  bool ServeUntil(const std::function<bool()>& happened);

  // Whether a message of a type has ever come.
  bool Heard(std::string_view type) const { return heard_.contains(type); }

  // To the worker that was heard last.
  void Send(std::string_view type, nlohmann::json body, const std::string& id = "msg_broker");
  void Reply(const Message& to, std::string_view type, nlohmann::json body = {});

  // Beats are not answered any more; registers still are.
  void BeSilent() { silent_ = true; }
  // Beats are answered by unknown_worker until the next register, as after a restart.
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
