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

// What a fault takes hold of. Two faults are not at work on the same thing at the same time.
enum class Target { kBroker, kApi, kWorker, kApiLink, kWorkerLink, kDisk, kClock, kNothing };

// One fault in the course of an episode.
struct Fault {
  size_t at_ms = 0;     // since the start of the episode
  size_t for_ms = 0;    // how long it is left at work
  std::string kind;     // FaultKind::name
  uint64_t random = 0;  // what it chooses with
};

// What faults have to work with.
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
  // Called often while it is at work; true: it has done all that it wants to before its time.
  virtual bool Step(FaultScene&) { return false; }
  // Takes it back: from here on the service is to mend itself. False: it has had no effect (no
  // message came by to be lost, no step was taken at which to die), and does not count.
  virtual bool End(FaultScene& scene) = 0;
};

struct FaultKind {
  std::string name;
  Target target = Target::kNothing;
  std::vector<Target> besides = {};  // takes hold of the first of these, too
  size_t least_ms = 0;               // it is left at work for at least this long
  size_t most_ms = 0;
  // Whether it is of a running program, for which it waits. Not called for targets of other kinds.
  bool needs_it_running = false;
  // Begins it. `index` says on which of the programs of its target.
  std::function<std::unique_ptr<ActiveFault>(FaultScene& scene, size_t index, const Fault& fault)>
      begin;
};

// Every kind of fault that this machine can make: without the rights to mount, no full disk.
std::vector<FaultKind> AllFaultKinds(bool has_own_disk);

// Faults of these kinds at random times, in order of time, one each `every_ms` on average.
std::vector<Fault> PlanFaults(const std::vector<FaultKind>& kinds, uint64_t seed, size_t episode_ms,
                              size_t every_ms);

// Sets faults to work when their time has come and takes them back, at most one at a time on each
// target. Owned by an episode; used by the world's thread.
class FaultRunner {
 public:
  FaultRunner(FaultScene& scene, const std::vector<FaultKind>& kinds, std::vector<Fault> plan);

  // Does what is due at that time of the episode.
  void Step(size_t now_ms);
  // Takes everything back.
  void EndAll();
  // Those that took effect, by kind.
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
  std::vector<Fault> waiting_;  // the next one last
  std::vector<Active> active_;
  std::set<std::pair<Target, size_t>> taken_;
  std::map<std::string, size_t> counts_;
};

}  // namespace millrace::chaos
