#include <csignal>

#include "tests/chaos/fault_kinds.h"

namespace millrace::chaos {
namespace {

struct Place {
  const char* name;
  ProgramKind kind;
  Target target;
  bool can_fail;         // it can also fail there, not only be killed
  uint64_t passes = 12;  // the most passes to wait for; some places are passed rarely
};

constexpr Place kPlaces[] = {
    {"broker.before_commit", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.after_commit", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.before_reply", ProgramKind::kBroker, Target::kBroker, false},
    {"broker.after_lease", ProgramKind::kBroker, Target::kBroker, false},
    {"broker.before_publish", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.during_publish", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.after_publish_rename", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.before_dead_letter", ProgramKind::kBroker, Target::kBroker, true, 2},
    {"broker.during_dead_letter", ProgramKind::kBroker, Target::kBroker, true, 2},
    {"broker.after_dead_letter", ProgramKind::kBroker, Target::kBroker, true, 2},
    {"api.before_submit", ProgramKind::kApi, Target::kApi, true},
    {"api.after_submit", ProgramKind::kApi, Target::kApi, true},
    {"api.after_upload", ProgramKind::kApi, Target::kApi, true},
    {"worker.after_assign", ProgramKind::kWorker, Target::kWorker, false},
    {"worker.before_finished", ProgramKind::kWorker, Target::kWorker, false},
    {"worker.after_finished", ProgramKind::kWorker, Target::kWorker, false},
};

// Replaces the program with one that exits or fails when it reaches a place for the Nth time, and
// logs that it has.
class AtFailpoint final : public ActiveFault {
 public:
  AtFailpoint(FaultScene& scene, const ProgramId& id, const std::string& place,
              const std::string& action)
      : id_(id), place_(place), log_bytes_(scene.world.LogBytes(id)) {
    scene.world.AddToNextStart(id, "MILLRACE_FAILPOINTS=" + place + "=" + action);
    scene.world.Signal(id, SIGKILL);
  }

  bool Step(FaultScene& scene) override {
    if (!met_ && scene.world.LogBytes(id_) > seen_) {
      seen_ = scene.world.LogBytes(id_);
      met_ = scene.world.LogAfter(id_, log_bytes_).find("\"failpoint\":\"" + place_ + "\"") !=
             std::string::npos;
    }
    return met_;
  }

  bool End(FaultScene& scene) override {
    // A failpoint not reached by now must not strike later.
    if (!met_) scene.world.Signal(id_, SIGKILL);
    scene.world.ClearNextStart(id_);
    return met_;
  }

 private:
  const ProgramId id_;
  const std::string place_;
  const uintmax_t log_bytes_;
  uintmax_t seen_ = 0;
  bool met_ = false;
};

FaultKind Meeting(const Place& place, bool kills) {
  const std::string action = kills ? "crash" : "error";
  return {.name = std::string(place.name) + "=" + action,
          .target = place.target,
          .least_ms = 4000,
          .most_ms = 4000,
          .needs_it_running = true,
          .begin = [place, action](FaultScene& scene, size_t index, const Fault& fault) {
            const std::string count = std::to_string(1 + fault.random / 3 % place.passes);
            return std::make_unique<AtFailpoint>(scene, ProgramId{place.kind, index}, place.name,
                                                 action + "@" + count);
          }};
}

}  // namespace

void AddFailpoints(std::vector<FaultKind>& kinds) {
  for (const Place& place : kPlaces) {
    kinds.push_back(Meeting(place, true));
    if (place.can_fail) kinds.push_back(Meeting(place, false));
  }
}

}  // namespace millrace::chaos
