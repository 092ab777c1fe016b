#include "broker/dispatcher/worker_registry.h"

#include <algorithm>
#include <utility>

namespace millrace::broker {

RegisteredWorker MakeWorker(const std::string& instance, message::Register said) {
  RegisteredWorker worker;
  worker.name = std::move(said.name);
  worker.instance = instance;
  worker.slots = said.slots;
  worker.probe_slots = said.probe_slots;
  worker.encoders = EncoderSet::FromNames(said.encoders);
  worker.encoder_names = std::move(said.encoders);
  worker.cores = said.cores;
  worker.memory_bytes = said.memory_bytes;
  worker.labels = std::move(said.labels);
  worker.versions = std::move(said.versions);
  return worker;
}

MonotonicTime RegisteredWorker::LostAt(const PatienceWithWorkers& patience) const {
  const MonotonicTime silent = last_beat + patience.silence;
  if (!gone_since || !patience.reconnect) return silent;
  return std::min(silent, *gone_since + *patience.reconnect);
}

RegisteredWorker* WorkerRegistry::FindInstance(const std::string& instance) {
  const auto found = instances_.find(instance);
  return found == instances_.end() ? nullptr : found->second;
}

RegisteredWorker* WorkerRegistry::FindName(const std::string& name) {
  const auto found = workers_.find(name);
  return found == workers_.end() ? nullptr : &found->second;
}

RegisteredWorker& WorkerRegistry::Add(RegisteredWorker worker) {
  std::string name = worker.name;
  RegisteredWorker& added = workers_.emplace(std::move(name), std::move(worker)).first->second;
  instances_[added.instance] = &added;
  return added;
}

void WorkerRegistry::Update(RegisteredWorker& worker, RegisteredWorker said) {
  said.leases = std::move(worker.leases);
  said.probes = worker.probes;
  said.draining = worker.draining;
  said.held_back = worker.held_back;
  said.registered_at = worker.registered_at;
  worker = std::move(said);
}

void WorkerRegistry::Remove(const RegisteredWorker& worker) {
  instances_.erase(worker.instance);
  workers_.erase(std::string(worker.name));
}

bool WorkerRegistry::HasFreeSlot() const {
  return std::ranges::any_of(workers_, [](const auto& row) { return row.second.FreeSlots() > 0; });
}

bool WorkerRegistry::MayTake(const RegisteredWorker& worker, const TaskQueue::Lane& lane) const {
  if (worker.FreeSlots() == 0 || !worker.encoders.Covers(lane.needs)) return false;
  if (worker.name != lane.avoid) return true;
  return std::ranges::none_of(workers_, [&](const auto& row) {
    const RegisteredWorker& other = row.second;
    return &other != &worker && other.slots > 0 && other.Accepts() &&
           other.encoders.Covers(lane.needs);
  });
}

bool WorkerRegistry::CanTake(const TaskQueue::Lane& lane) const {
  return std::ranges::any_of(workers_, [&](const auto& row) { return MayTake(row.second, lane); });
}

RegisteredWorker* WorkerRegistry::Pick(const TaskQueue::Lane& lane, const std::string& last) {
  RegisteredWorker* best = nullptr;
  // Most room: the smallest share of slots taken, compared without dividing.
  const auto better = [&](const RegisteredWorker& a, const RegisteredWorker& b) {
    if ((a.name == last) != (b.name == last)) return b.name == last;
    return a.leases.size() * static_cast<size_t>(b.slots) <
           b.leases.size() * static_cast<size_t>(a.slots);
  };
  for (auto& [name, worker] : workers_) {
    if (!MayTake(worker, lane)) continue;
    if (best == nullptr || better(worker, *best)) best = &worker;
  }
  return best;
}

RegisteredWorker* WorkerRegistry::PickForProbe() {
  RegisteredWorker* best = nullptr;
  for (auto& [name, worker] : workers_) {
    if (worker.FreeProbeSlots() == 0) continue;
    const bool better = best == nullptr || std::pair(!worker.held_back, worker.FreeProbeSlots()) >
                                               std::pair(!best->held_back, best->FreeProbeSlots());
    if (better) best = &worker;
  }
  return best;
}

bool WorkerRegistry::TakesProbes() const {
  return std::ranges::any_of(
      workers_, [](const auto& row) { return row.second.IsUp() && row.second.probe_slots > 0; });
}

std::vector<std::string> WorkerRegistry::NamesOfPeers() const {
  std::vector<std::string> names;
  for (const auto& [name, worker] : workers_) {
    if (worker.IsUp() && worker.slots > 0) names.push_back(name);
  }
  return names;
}

void WorkerRegistry::HoldBackUnless(const std::function<bool(const std::string& name)>& may_take) {
  for (auto& [name, worker] : workers_) worker.held_back = !may_take(name);
}

std::optional<MonotonicTime> WorkerRegistry::NextLoss(const PatienceWithWorkers& patience) const {
  std::optional<MonotonicTime> next;
  for (const auto& [name, worker] : workers_) {
    const MonotonicTime end = worker.LostAt(patience);
    if (!next || end < *next) next = end;
  }
  return next;
}

std::vector<RegisteredWorker*> WorkerRegistry::LostBy(MonotonicTime time,
                                                      const PatienceWithWorkers& patience) {
  std::vector<RegisteredWorker*> lost;
  for (auto& [name, worker] : workers_) {
    if (worker.IsLostBy(time, patience)) lost.push_back(&worker);
  }
  return lost;
}

}  // namespace millrace::broker
