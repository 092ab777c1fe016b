#pragma once

#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"

namespace millrace::broker {

// A client that waits to hear what is in a file.
struct PendingProbe {
  std::string id;
  std::string route;       // of the client
  std::string request_id;  // of its message
  nlohmann::json input;
  std::string input_name;
  MonotonicTime deadline{};
  std::string instance;  // of the worker that has it; empty: it waits for a free probe slot
};

// The probes under way and those waiting for a worker, first in, first out. Probes are not in the
// ledger: their clients are connected and ask again. Owned by the dispatcher.
class ProbeTable {
 public:
  // More than these wait for nothing: their deadlines pass before their turn comes.
  static constexpr size_t kMaxWaiting = 256;

  bool full() const { return waiting_.size() >= kMaxWaiting; }
  PendingProbe& Add(PendingProbe probe);
  PendingProbe* Find(const std::string& id);
  void Remove(const std::string& id);

  // The one that has waited longest; nullptr if none waits.
  PendingProbe* FirstWaiting();
  // REQUIRES: the probe is FirstWaiting().
  void Start(PendingProbe& probe, const std::string& instance);
  // Those that a worker has go back to the front of the line.
  void Return(const std::string& instance);
  // Takes out all that wait.
  std::vector<PendingProbe> TakeWaiting();

  std::optional<MonotonicTime> NextDeadline() const;
  // Takes out those whose deadline has passed.
  std::vector<PendingProbe> TakeExpired(MonotonicTime now);

 private:
  std::map<std::string, PendingProbe> probes_;
  std::deque<std::string> waiting_;
};

}  // namespace millrace::broker
