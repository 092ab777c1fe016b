#pragma once

#include <algorithm>
#include <chrono>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/dispatcher/encoders.h"
#include "broker/dispatcher/task_queue.h"
#include "core/base/clock.h"

namespace millrace::broker {

// How long a worker may take until it is given up.
struct PatienceWithWorkers {
  std::chrono::milliseconds silence{0};  // since its last beat
  // Since its connection closed; nullopt: that alone is no reason.
  std::optional<std::chrono::milliseconds> reconnect = std::nullopt;
};

// A worker process that has registered and has been heard of since.
struct RegisteredWorker {
  std::string name;
  std::string instance;
  int slots = 0;
  int probe_slots = 0;
  std::vector<std::string> encoder_names;
  EncoderSet encoders;
  int cores = 0;
  int64_t memory_bytes = 0;
  nlohmann::json labels;
  nlohmann::json versions;
  WallTime registered_at{};
  MonotonicTime last_beat{};
  bool draining = false;
  std::optional<MonotonicTime> gone_since;  // its connection closed, it has not been heard since
  bool held_back = false;                   // its circuit breaker lets it have no task
  std::vector<TaskEntry*> leases;           // current ones, also those being cancelled
  int probes = 0;                           // under way

  // Whether it may be given new tasks at all.
  bool Accepts() const { return IsUp() && !held_back; }
  // Whether it is there to stay.
  bool IsUp() const { return !draining && !gone_since; }
  int FreeSlots() const {
    return Accepts() ? std::max(0, slots - static_cast<int>(leases.size())) : 0;
  }
  // When it is given up unless it is heard.
  MonotonicTime LostAt(const PatienceWithWorkers& patience) const;
  bool IsLostBy(MonotonicTime time, const PatienceWithWorkers& patience) const {
    return LostAt(patience) <= time;
  }
  int FreeProbeSlots() const { return IsUp() ? std::max(0, probe_slots - probes) : 0; }
};

// Reads the body of a `register` message. Throws Error{kProtocolError}.
RegisteredWorker ParseRegister(const std::string& instance, const nlohmann::json& body);

// Who is there, and what each holds. Names are stable, instances change with each start; there is
// at most one instance of a name. Pointers stay valid until Remove(). Owned by the dispatcher.
class WorkerRegistry {
 public:
  RegisteredWorker* FindInstance(const std::string& instance);
  RegisteredWorker* FindName(const std::string& name);

  // REQUIRES: no worker of that name or instance is there.
  RegisteredWorker& Add(RegisteredWorker worker);
  // Takes over what a process says of itself when it registers again; what it holds stays.
  void Update(RegisteredWorker& worker, RegisteredWorker said);
  void Remove(const RegisteredWorker& worker);

  bool HasFreeSlot() const;
  // The free worker to take a task of this lane: not the one to avoid while another registered
  // worker could take it, be it busy; not `last` while another is free; then the one with most
  // room. nullptr: none.
  RegisteredWorker* Pick(const TaskQueue::Lane& lane, const std::string& last);
  // Whether Pick would find one.
  bool CanTake(const TaskQueue::Lane& lane) const;

  // The worker with most free probe slots; nullptr if all are taken.
  // One that is held back only if no other is free.
  RegisteredWorker* PickForProbe();
  // Whether any worker ever takes probes.
  bool TakesProbes() const;

  // Those with slots, that are there to stay: what a worker can be compared with.
  std::vector<std::string> NamesOfPeers() const;
  // Has `may_take` say of each worker whether it is held back.
  void HoldBackUnless(const std::function<bool(const std::string& name)>& may_take);

  // When the first worker is given up.
  std::optional<MonotonicTime> NextLoss(const PatienceWithWorkers& patience) const;
  std::vector<RegisteredWorker*> LostBy(MonotonicTime time, const PatienceWithWorkers& patience);

  const std::map<std::string, RegisteredWorker>& by_name() const { return workers_; }

 private:
  bool MayTake(const RegisteredWorker& worker, const TaskQueue::Lane& lane) const;

  std::map<std::string, RegisteredWorker> workers_;
  std::unordered_map<std::string, RegisteredWorker*> instances_;
};

}  // namespace millrace::broker
