#include <sys/syscall.h>
#include <unistd.h>

#include <csignal>

#include "core/base/unique_fd.h"
#include "tests/chaos/fault_kinds.h"

namespace millrace::chaos {
namespace {

struct Victim {
  const char* name;
  ProgramKind kind;
  Target target;
  size_t longest_freeze_ms;
};

// A frozen worker sleeps past its lease, so others run its tasks when it wakes up.
constexpr Victim kVictims[] = {
    {"broker", ProgramKind::kBroker, Target::kBroker, 4000},
    {"api", ProgramKind::kApi, Target::kApi, 3000},
    {"worker", ProgramKind::kWorker, Target::kWorker, 6000},
};

FaultKind Killing(const Victim& victim) {
  return {.name = std::string("kill_") + victim.name,
          .target = victim.target,
          .least_ms = 0,
          .most_ms = 800,
          .needs_it_running = true,
          .begin = [kind = victim.kind](FaultScene& scene, size_t index, const Fault&) {
            const ProgramId id{kind, index};
            scene.world.Hold(id);
            scene.world.Signal(id, SIGKILL);
            return UndoneBy([id](FaultScene& then) {
              then.world.LetGo(id);
              return true;
            });
          }};
}

FaultKind Freezing(const Victim& victim) {
  return {.name = std::string("freeze_") + victim.name,
          .target = victim.target,
          .least_ms = 300,
          .most_ms = victim.longest_freeze_ms,
          .needs_it_running = true,
          .begin = [kind = victim.kind](FaultScene& scene, size_t index, const Fault&) {
            const ProgramId id{kind, index};
            scene.world.Signal(id, SIGSTOP);
            return UndoneBy([id](FaultScene& then) {
              then.world.Signal(id, SIGCONT);
              return true;
            });
          }};
}

// Sends SIGTERM and starts a new program when the old one has exited.
FaultKind Draining(const Victim& victim) {
  return {.name = std::string("drain_") + victim.name,
          .target = victim.target,
          .least_ms = 0,
          .most_ms = 500,
          .needs_it_running = true,
          .begin = [kind = victim.kind](FaultScene& scene, size_t index, const Fault&) {
            scene.world.Signal({kind, index}, SIGTERM);
            return UndoneBy([](FaultScene&) { return true; });
          }};
}

// Restarts one program after the other, each once the one before it has been replaced.
class RollingRestart final : public ActiveFault {
 public:
  explicit RollingRestart(const WorldOptions& options) {
    for (size_t i = 0; i < options.workers; ++i) left_.push_back({ProgramKind::kWorker, i});
    for (size_t i = 0; i < options.apis; ++i) left_.push_back({ProgramKind::kApi, i});
    left_.push_back({ProgramKind::kBroker, 0});
  }

  bool Step(FaultScene& scene) override {
    if (left_.empty()) return true;
    const ProgramId& next = left_.back();
    const pid_t pid = scene.world.PidOf(next);
    if (told_ == 0 && pid != 0) {
      told_ = pid;
      scene.world.Signal(next, SIGTERM);
    } else if (told_ != 0 && pid != 0 && pid != told_) {
      told_ = 0;
      left_.pop_back();
    }
    return left_.empty();
  }

  bool End(FaultScene&) override { return left_.empty(); }

 private:
  std::vector<ProgramId> left_;  // the next one last
  pid_t told_ = 0;
};

// Submits one key two hundred times while the programs that could accept it are killed repeatedly.
class Storm final : public ActiveFault {
 public:
  Storm(FaultScene& scene, uint64_t seed)
      : random_(seed), progress_(scene.load.SubmitAtOnce(200, 8)) {}

  bool Step(FaultScene& scene) override {
    if (progress_->ended) return true;
    const auto now = std::chrono::steady_clock::now();
    if (!progress_->begun || now < next_) return false;
    next_ = now + std::chrono::milliseconds(100 + random_() % 400);
    const size_t which = random_() % (1 + scene.world.options().apis);
    const ProgramId victim =
        which == 0 ? ProgramId{ProgramKind::kBroker, 0} : ProgramId{ProgramKind::kApi, which - 1};
    scene.world.Signal(victim, SIGKILL);
    return false;
  }

  bool End(FaultScene&) override { return progress_->unanswered > 0; }

 private:
  std::mt19937_64 random_;
  const std::shared_ptr<const StormProgress> progress_;
  std::chrono::steady_clock::time_point next_{};
};

// Signals one of the worker's encoders. Uses a process descriptor, as the pid may be reused.
FaultKind SignallingAnEncoder(const std::string& name, int signal_number, bool undone) {
  return {.name = name,
          .target = Target::kNothing,
          .least_ms = undone ? 200u : 0u,
          .most_ms = undone ? 3000u : 0u,
          .begin = [signal_number, undone](FaultScene& scene, size_t,
                                           const Fault& fault) -> std::unique_ptr<ActiveFault> {
            const size_t worker = fault.random % scene.world.options().workers;
            const std::vector<pid_t> encoders = scene.world.EncodersOf(worker);
            if (encoders.empty()) return nullptr;
            const pid_t pid = encoders[fault.random / 7 % encoders.size()];
            auto handle =
                std::make_shared<UniqueFd>(static_cast<int>(syscall(SYS_pidfd_open, pid, 0)));
            if (!*handle) return nullptr;
            if (syscall(SYS_pidfd_send_signal, handle->get(), signal_number, nullptr, 0) != 0) {
              return nullptr;
            }
            if (signal_number == SIGKILL) ++scene.encoders_killed;
            return UndoneBy([handle, undone](FaultScene&) {
              if (undone) syscall(SYS_pidfd_send_signal, handle->get(), SIGCONT, nullptr, 0);
              return true;
            });
          }};
}

}  // namespace

void AddProcessFaults(std::vector<FaultKind>& kinds) {
  for (const Victim& victim : kVictims) {
    kinds.push_back(Killing(victim));
    kinds.push_back(Freezing(victim));
    kinds.push_back(Draining(victim));
  }
  kinds.push_back(SignallingAnEncoder("kill_encode", SIGKILL, false));
  kinds.push_back(SignallingAnEncoder("freeze_encode", SIGSTOP, true));
  kinds.push_back({.name = "rolling_restart",
                   .target = Target::kNothing,
                   .least_ms = 20'000,
                   .most_ms = 20'000,
                   .begin = [](FaultScene& scene, size_t, const Fault&) {
                     return std::make_unique<RollingRestart>(scene.world.options());
                   }});
  kinds.push_back({.name = "one_key_while_killed",
                   .target = Target::kNothing,
                   .least_ms = 6000,
                   .most_ms = 6000,
                   .begin = [](FaultScene& scene, size_t, const Fault& fault) {
                     return std::make_unique<Storm>(scene, fault.random);
                   }});
}

}  // namespace millrace::chaos
