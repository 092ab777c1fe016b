#include <csignal>

#include "tests/chaos/fault_kinds.h"

namespace millrace::chaos {
namespace {

struct Place {
  const char* name;
  ProgramKind kind;
  Target target;
  bool can_fail;  // besides being killed there
};

constexpr Place kPlaces[] = {
    {"broker.before_commit", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.after_commit", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.before_reply", ProgramKind::kBroker, Target::kBroker, false},
    {"broker.after_lease", ProgramKind::kBroker, Target::kBroker, false},
    {"broker.before_publish", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.during_publish", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.before_dead_letter", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.during_dead_letter", ProgramKind::kBroker, Target::kBroker, true},
    {"broker.after_dead_letter", ProgramKind::kBroker, Target::kBroker, true},
    {"api.before_submit", ProgramKind::kApi, Target::kApi, true},
    {"api.after_submit", ProgramKind::kApi, Target::kApi, true},
    {"api.after_upload", ProgramKind::kApi, Target::kApi, true},
    {"worker.after_assign", ProgramKind::kWorker, Target::kWorker, false},
    {"worker.before_finished", ProgramKind::kWorker, Target::kWorker, false},
    {"worker.after_finished", ProgramKind::kWorker, Target::kWorker, false},
};

// The program is replaced by one that ends, or fails, when it comes to that place for the Nth time.
class AtFailpoint final : public ActiveFault {
 public:
  AtFailpoint(FaultScene& scene, const ProgramId& id, const std::string& plan, bool kills)
      : id_(id), kills_(kills), first_(scene.world.PidOf(id)) {
    scene.world.AddToNextStart(id, "MILLRACE_FAILPOINTS=" + plan);
    scene.world.Signal(id, SIGKILL);
  }

  bool Step(FaultScene& scene) override {
    const pid_t pid = scene.world.PidOf(id_);
    if (armed_ == 0) {
      if (pid != 0 && pid != first_) armed_ = pid;
    } else if (pid != armed_) {
      met_ = true;
    }
    return met_ && kills_;
  }

  bool End(FaultScene& scene) override {
    // A failure happens once; an end that has not come is not to come later.
    if (!met_) scene.world.Signal(id_, SIGKILL);
    return met_ || !kills_;
  }

 private:
  const ProgramId id_;
  const bool kills_;
  const pid_t first_;
  pid_t armed_ = 0;
  bool met_ = false;
};

FaultKind Meeting(const Place& place, bool kills) {
  const std::string action = kills ? "crash" : "error";
  return {.name = std::string(place.name) + "=" + action,
          .target = place.target,
          .least_ms = 4000,
          .most_ms = 4000,
          .begin = [place, kills, action](FaultScene& scene, size_t index, const Fault& fault) {
            const std::string count = std::to_string(1 + fault.random / 3 % 12);
            return std::make_unique<AtFailpoint>(
                scene, ProgramId{place.kind, index},
                std::string(place.name) + "=" + action + "@" + count, kills);
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
