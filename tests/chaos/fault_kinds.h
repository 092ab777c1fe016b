#pragma once

#include <functional>
#include <utility>
#include <vector>

#include "tests/chaos/faults.h"

namespace millrace::chaos {

// Add the kinds of faults, one function per mechanism.
void AddProcessFaults(std::vector<FaultKind>& kinds);  // killed, frozen, drained
void AddFailpoints(std::vector<FaultKind>& kinds);     // killed or failed at a named step
void AddNetworkFaults(std::vector<FaultKind>& kinds);
void AddStorageFaults(std::vector<FaultKind>& kinds, bool has_own_disk);  // and clocks
void AddLedgerDamage(std::vector<FaultKind>& kinds);

// A fault that begins when it is constructed and only has to be taken back. Taking it back returns
// whether it had any effect.
class Undo final : public ActiveFault {
 public:
  explicit Undo(std::function<bool(FaultScene&)> undo) : undo_(std::move(undo)) {}
  bool End(FaultScene& scene) override { return undo_(scene); }

 private:
  std::function<bool(FaultScene&)> undo_;
};

inline std::unique_ptr<ActiveFault> UndoneBy(std::function<bool(FaultScene&)> undo) {
  return std::make_unique<Undo>(std::move(undo));
}

}  // namespace millrace::chaos
