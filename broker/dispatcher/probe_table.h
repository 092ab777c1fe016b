#pragma once

#include <deque>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "broker/dispatcher/outcome.h"
#include "core/base/clock.h"

namespace millrace::broker {

// The probe of a client that waits to hear what is in a file.
struct PendingProbe {
  std::string id;
  ReplyTo client;
  nlohmann::json input;
  std::string input_name;
  MonotonicTime deadline{};
  std::string instance;  // of the worker that has it; empty: it waits for a free probe slot
};

// The probes under way, and the line of probes that wait for a worker, first in, first out. The
// ledger has none of them: after a restart their clients ask again. Owned by the dispatcher.
class ProbeTable {
 public:
  // A longer line would be in vain: deadlines pass before the turn of its last ones comes.
  static constexpr size_t kMaxWaiting = 256;

  bool full() const { return waiting_.size() >= kMaxWaiting; }
  PendingProbe& Add(PendingProbe probe);
  PendingProbe* Find(const std::string& id);
  void Remove(const std::string& id);

  // The probe that has waited longest; nullptr if none waits.
  PendingProbe* FirstWaiting();
  // REQUIRES: the probe is FirstWaiting().
  void Start(PendingProbe& probe, const std::string& instance);
  // Puts the probes that a worker has back at the front of the line.
  void Return(const std::string& instance);
  // Takes out the whole line.
  std::vector<PendingProbe> TakeWaiting();

  std::optional<MonotonicTime> NextDeadline() const;
  // Takes out the probes whose deadline has passed.
  std::vector<PendingProbe> TakeExpired(MonotonicTime now);

 private:
  std::map<std::string, PendingProbe> probes_;
  std::deque<std::string> waiting_;
};

}  // namespace millrace::broker
