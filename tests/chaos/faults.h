#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "tests/chaos/load.h"
#include "tests/chaos/record.h"
#include "tests/chaos/world.h"

namespace millrace::chaos {

// The target of a fault. A target never has two faults at the same time.
enum class Target { kBroker, kApi, kWorker, kApiLink, kWorkerLink, kDisk, kClock, kNothing };

// One fault in the course of an episode.
struct Fault {
  size_t at_ms = 0;     // since the start of the episode
  size_t for_ms = 0;    // duration
  std::string kind;     // FaultKind::name
  uint64_t random = 0;  // seed for its own choices
};

// The objects that faults act on.
struct FaultScene {
  World& world;
  Load& load;
  Record& record;
  size_t encoders_killed = 0;
};

// A fault at work. Destroyed without End(), it may leave the world broken.
class ActiveFault {
 public:
  virtual ~ActiveFault() = default;
  // Called often while the fault is active. Returns true if it has finished ahead of time.
  virtual bool Step(FaultScene&) { return false; }
  // Takes the fault back; from here on the service must recover by itself. Returns false if the
  // fault had no effect (no message came by to lose, no failpoint was reached) and does not count.
  virtual bool End(FaultScene& scene) = 0;
};

struct FaultKind {
  std::string name;
  Target target = Target::kNothing;
  std::vector<Target> besides = {};  // also takes the first of these
  size_t least_ms = 0;               // minimum duration
  size_t most_ms = 0;
  // Waits until the target runs. Ignored for targets that are not programs.
  bool needs_it_running = false;
  // Begins the fault on the program number `index` of its target.
  std::function<std::unique_ptr<ActiveFault>(FaultScene& scene, size_t index, const Fault& fault)>
      begin;
};

// Returns every kind of fault that this machine can make; a full disk takes the rights to mount.
std::vector<FaultKind> AllFaultKinds(bool has_own_disk);

// Plans faults of these kinds at random times, sorted, one per `every_ms` on average.
std::vector<Fault> PlanFaults(const std::vector<FaultKind>& kinds, uint64_t seed, size_t episode_ms,
                              size_t every_ms);

// Begins faults when they are due and takes them back, at most one at a time on each target. Owned
// by an episode; used by the world's thread.
class FaultRunner {
 public:
  FaultRunner(FaultScene& scene, const std::vector<FaultKind>& kinds, std::vector<Fault> plan);

  // Does everything due at that time of the episode.
  void Step(size_t now_ms);
  // Takes all active faults back.
  void EndAll();
  // Returns the number of faults that took effect, by kind.
  const std::map<std::string, size_t>& counts() const { return counts_; }

 private:
  struct Active {
    std::unique_ptr<ActiveFault> fault;
    std::string kind;
    std::vector<std::pair<Target, size_t>> targets;
    size_t until_ms = 0;
  };

  bool Begin(const Fault& fault, size_t now_ms);
  void End(Active& active);

  FaultScene& scene_;
  const std::vector<FaultKind>& kinds_;
  std::vector<Fault> waiting_;  // in reverse order
  std::vector<Active> active_;
  std::set<std::pair<Target, size_t>> taken_;
  std::map<std::string, size_t> counts_;
};

}  // namespace millrace::chaos
