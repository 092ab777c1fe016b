#include "tests/chaos/faults.h"

#include <algorithm>
#include <utility>

#include "tests/chaos/fault_kinds.h"

namespace millrace::chaos {
namespace {

// Returns the number of targets of this kind that can have faults at the same time.
size_t CountOf(Target target, const WorldOptions& options) {
  switch (target) {
    case Target::kApi:
    case Target::kApiLink:
      return options.apis;
    case Target::kWorker:
    case Target::kWorkerLink:
      return options.workers;
    default:
      return 1;
  }
}

// REQUIRES: the target is a program.
ProgramId VictimOf(Target target, size_t index) {
  switch (target) {
    case Target::kBroker:
      return {ProgramKind::kBroker, 0};
    case Target::kApi:
      return {ProgramKind::kApi, index};
    default:
      return {ProgramKind::kWorker, index};
  }
}

bool TroublesStorage(const std::vector<std::pair<Target, size_t>>& targets) {
  return std::ranges::count(targets, std::pair(Target::kDisk, size_t{0})) > 0;
}

// Picks a kind so that the choice depends as little as possible on the other kinds: adding one, or
// lacking one on this machine, leaves most of a seed's meaning unchanged.
const FaultKind& Drawn(const std::vector<FaultKind>& kinds, uint64_t number) {
  const auto weight = [number](const FaultKind& kind) {
    std::seed_seq seed(kind.name.begin(), kind.name.end());
    return std::mt19937_64(seed)() ^ number * 0x9e3779b97f4a7c15;
  };
  return *std::ranges::max_element(
      kinds, {}, [&](const FaultKind& kind) { return std::mt19937_64(weight(kind))(); });
}

}  // namespace

std::vector<FaultKind> AllFaultKinds(bool has_own_disk) {
  std::vector<FaultKind> kinds;
  AddProcessFaults(kinds);
  AddFailpoints(kinds);
  AddNetworkFaults(kinds);
  AddStorageFaults(kinds, has_own_disk);
  AddLedgerDamage(kinds);
  return kinds;
}

std::vector<Fault> PlanFaults(const std::vector<FaultKind>& kinds, uint64_t seed, size_t episode_ms,
                              size_t every_ms) {
  std::mt19937_64 random(seed);
  std::vector<Fault> plan;
  for (size_t i = 0; i < episode_ms / every_ms; ++i) {
    const FaultKind& kind = Drawn(kinds, random());
    plan.push_back({.at_ms = random() % episode_ms,
                    .for_ms = kind.least_ms + random() % (kind.most_ms - kind.least_ms + 1),
                    .kind = kind.name,
                    .random = random()});
  }
  std::ranges::stable_sort(plan, {}, &Fault::at_ms);
  return plan;
}

FaultRunner::FaultRunner(FaultScene& scene, const std::vector<FaultKind>& kinds,
                         std::vector<Fault> plan)
    : scene_(scene), kinds_(kinds), waiting_(std::move(plan)) {
  std::ranges::reverse(waiting_);
}

void FaultRunner::Step(size_t now_ms) {
  for (Active& active : active_) {
    if (active.fault->Step(scene_) || active.until_ms <= now_ms) End(active);
  }
  std::erase_if(active_, [](const Active& active) { return active.fault == nullptr; });
  // A fault whose target is taken lets others go first.
  for (auto next = waiting_.rbegin(); next != waiting_.rend() && next->at_ms <= now_ms;) {
    if (Begin(*next, now_ms)) {
      next = std::make_reverse_iterator(waiting_.erase(std::next(next).base()));
    } else {
      ++next;
    }
  }
}

// Returns false if one of its targets is taken or not running.
bool FaultRunner::Begin(const Fault& fault, size_t now_ms) {
  const FaultKind& kind = *std::ranges::find(kinds_, fault.kind, &FaultKind::name);
  const size_t index = fault.random % CountOf(kind.target, scene_.world.options());
  std::vector<std::pair<Target, size_t>> targets;
  if (kind.target != Target::kNothing) targets.emplace_back(kind.target, index);
  for (const Target target : kind.besides) targets.emplace_back(target, 0);
  const auto is_taken = [this](const auto& target) { return taken_.contains(target); };
  if (std::ranges::any_of(targets, is_taken)) return false;
  if (kind.needs_it_running && !scene_.world.Running(VictimOf(kind.target, index))) return false;
  if (auto begun = kind.begin(scene_, index, fault)) {
    if (TroublesStorage(targets)) scene_.world.SetStorageTrouble(true);
    taken_.insert(targets.begin(), targets.end());
    active_.push_back({.fault = std::move(begun),
                       .kind = kind.name,
                       .targets = std::move(targets),
                       .until_ms = now_ms + fault.for_ms});
  }
  return true;
}

void FaultRunner::End(Active& active) {
  if (active.fault->End(scene_)) ++counts_[active.kind];
  active.fault.reset();
  if (TroublesStorage(active.targets)) scene_.world.SetStorageTrouble(false);
  for (const auto& target : active.targets) taken_.erase(target);
}

void FaultRunner::EndAll() {
  waiting_.clear();
  for (Active& active : active_) End(active);
  active_.clear();
}

}  // namespace millrace::chaos
