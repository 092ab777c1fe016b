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
#include "core/model/messages/worker.h"

namespace millrace::broker {

// The time for which a worker is waited for.
struct PatienceWithWorkers {
  std::chrono::milliseconds silence{0};  // since its last beat
  // Since its connection closed; nullopt: only silence counts.
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
  std::optional<MonotonicTime> gone_since;  // its connection closed and it was not heard since
  bool held_back = false;                   // by its circuit breaker
  std::vector<TaskEntry*> leases;           // current ones, also those being cancelled
  int probes = 0;                           // under way

  // True if it may be given new tasks.
  bool Accepts() const { return IsUp() && !held_back; }
  // True if it is connected and not about to leave.
  bool IsUp() const { return !draining && !gone_since; }
  int FreeSlots() const {
    return Accepts() ? std::max(0, slots - static_cast<int>(leases.size())) : 0;
  }
  // Returns when it is given up unless it is heard before.
  MonotonicTime LostAt(const PatienceWithWorkers& patience) const;
  bool IsLostBy(MonotonicTime time, const PatienceWithWorkers& patience) const {
    return LostAt(patience) <= time;
  }
  int FreeProbeSlots() const { return IsUp() ? std::max(0, probe_slots - probes) : 0; }
};

// Makes a worker of what it says of itself; its leases are left out.
RegisteredWorker MakeWorker(const std::string& instance, message::Register said);

// The registered workers and the tasks that each holds. A worker keeps its name; its instance
// changes with each start, and there is at most one instance of a name. Pointers stay valid until
// Remove(). Owned by the dispatcher.
class WorkerRegistry {
 public:
  RegisteredWorker* FindInstance(const std::string& instance);
  RegisteredWorker* FindName(const std::string& name);

  // REQUIRES: no worker of that name or instance is there.
  RegisteredWorker& Add(RegisteredWorker worker);
  // Updates a worker that registers again; its leases and probes stay.
  void Update(RegisteredWorker& worker, RegisteredWorker said);
  void Remove(const RegisteredWorker& worker);

  bool HasFreeSlot() const;
  // Chooses a free worker for a task of this lane: not the one to avoid if any other registered
  // worker, even a busy one, could take it; not `last` if another is free; among the rest the one
  // with most room. nullptr: none.
  RegisteredWorker* Pick(const TaskQueue::Lane& lane, const std::string& last);
  // True if Pick would find one.
  bool CanTake(const TaskQueue::Lane& lane) const;

  // Chooses the worker with most free probe slots, a held-back one only if no other has any;
  // nullptr if all slots are taken.
  RegisteredWorker* PickForProbe();
  // True if any worker takes probes, be it busy now.
  bool TakesProbes() const;

  // Returns the workers that run tasks and are up: those to compare a worker with.
  std::vector<std::string> NamesOfPeers() const;
  // Holds back each worker for which `may_take` is false.
  void HoldBackUnless(const std::function<bool(const std::string& name)>& may_take);

  // Returns when the first worker is given up.
  std::optional<MonotonicTime> NextLoss(const PatienceWithWorkers& patience) const;
  std::vector<RegisteredWorker*> LostBy(MonotonicTime time, const PatienceWithWorkers& patience);

  const std::map<std::string, RegisteredWorker>& by_name() const { return workers_; }

 private:
  bool MayTake(const RegisteredWorker& worker, const TaskQueue::Lane& lane) const;

  std::map<std::string, RegisteredWorker> workers_;
  std::unordered_map<std::string, RegisteredWorker*> instances_;
};

}  // namespace millrace::broker
