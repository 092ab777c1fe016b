#include "broker/dispatcher/probe_table.h"

#include <utility>

namespace millrace::broker {

PendingProbe& ProbeTable::Add(PendingProbe probe) {
  waiting_.push_back(probe.id);
  std::string id = probe.id;
  return probes_.emplace(std::move(id), std::move(probe)).first->second;
}

PendingProbe* ProbeTable::Find(const std::string& id) {
  const auto found = probes_.find(id);
  return found == probes_.end() ? nullptr : &found->second;
}

void ProbeTable::Remove(const std::string& id) {
  std::erase(waiting_, id);
  probes_.erase(id);
}

PendingProbe* ProbeTable::FirstWaiting() {
  return waiting_.empty() ? nullptr : Find(waiting_.front());
}

void ProbeTable::Start(PendingProbe& probe, const std::string& instance) {
  probe.instance = instance;
  waiting_.pop_front();
}

void ProbeTable::Return(const std::string& instance) {
  for (auto& [id, probe] : probes_) {
    if (probe.instance != instance) continue;
    probe.instance.clear();
    waiting_.push_front(id);
  }
}

std::vector<PendingProbe> ProbeTable::TakeWaiting() {
  std::vector<PendingProbe> taken;
  for (const std::string& id : waiting_) {
    const auto found = probes_.find(id);
    taken.push_back(std::move(found->second));
    probes_.erase(found);
  }
  waiting_.clear();
  return taken;
}

std::optional<MonotonicTime> ProbeTable::NextDeadline() const {
  std::optional<MonotonicTime> next;
  for (const auto& [id, probe] : probes_) {
    if (!next || probe.deadline < *next) next = probe.deadline;
  }
  return next;
}

std::vector<PendingProbe> ProbeTable::TakeExpired(MonotonicTime now) {
  std::vector<PendingProbe> expired;
  for (auto at = probes_.begin(); at != probes_.end();) {
    if (at->second.deadline > now) {
      ++at;
      continue;
    }
    std::erase(waiting_, at->first);
    expired.push_back(std::move(at->second));
    at = probes_.erase(at);
  }
  return expired;
}

}  // namespace millrace::broker
