#include <cerrno>
#include <initializer_list>

#include "tests/chaos/fault_kinds.h"

namespace millrace::chaos {
namespace {

using std::chrono::seconds;

FaultKind Failing(const std::string& name, const std::string& below, uint32_t operations, int error,
                  uint32_t per_million) {
  return {.name = name,
          .target = Target::kDisk,
          .least_ms = 200,
          .most_ms = 2500,
          .begin = [=](FaultScene& scene, size_t, const Fault&) {
            const size_t number =
                scene.world.storage().Begin({.below = scene.world.data_dir() / below,
                                             .operations = operations,
                                             .error = error,
                                             .per_million = per_million});
            return UndoneBy(
                [number](FaultScene& then) { return then.world.storage().End(number) > 0; });
          }};
}

FaultKind FillingTheDisk() {
  return {.name = "disk_full",
          .target = Target::kDisk,
          .least_ms = 300,
          .most_ms = 4000,
          .begin = [](FaultScene& scene, size_t, const Fault& fault) {
            const auto wanted = static_cast<int64_t>(fault.random % (256 << 10));
            const bool full = scene.world.disk().Fill(wanted) < (1 << 20);
            return UndoneBy([full](FaultScene& then) {
              then.world.disk().Relieve();
              return full;
            });
          }};
}

// Steps the clock by less than the day for which uploads without a job are kept.
std::chrono::nanoseconds StepOf(const Fault& fault) {
  constexpr seconds kSteps[] = {seconds(1), seconds(5), seconds(60), seconds(7200)};
  const seconds step = kSteps[fault.random / 2 % std::size(kSteps)];
  return fault.random % 2 == 0 ? step : -step;
}

FaultKind SteppingClocks(const std::string& name, std::vector<ProgramKind> programs) {
  return {.name = name,
          .target = Target::kClock,
          .least_ms = 300,
          .most_ms = 4000,
          .begin = [programs](FaultScene& scene, size_t, const Fault& fault) {
            for (const ProgramKind kind : programs) {
              scene.world.storage().SetClock(kind, StepOf(fault));
            }
            return UndoneBy([programs](FaultScene& then) {
              for (const ProgramKind kind : programs) then.world.storage().SetClock(kind, {});
              return true;
            });
          }};
}

}  // namespace

void AddStorageFaults(std::vector<FaultKind>& kinds, bool has_own_disk) {
  if (has_own_disk) kinds.push_back(FillingTheDisk());
  constexpr uint32_t kAll = kFailWrite | kFailSync | kFailName;
  for (const char* below : {"ledger.db", "work", "outputs", "dead-letter", "uploads"}) {
    const std::string part = std::string(below).substr(0, std::string(below).find('.'));
    kinds.push_back(Failing("full_" + part, below, kFailWrite | kFailName, ENOSPC, 1'000'000));
    kinds.push_back(Failing("io_error_" + part, below, kAll, EIO, 300'000));
    kinds.push_back(Failing("sync_error_" + part, below, kFailSync, EIO, 1'000'000));
  }
  kinds.push_back(SteppingClocks("step_broker_clock", {ProgramKind::kBroker}));
  kinds.push_back(SteppingClocks("step_api_clock", {ProgramKind::kApi}));
  kinds.push_back(
      SteppingClocks("step_worker_clock", {ProgramKind::kWorker, ProgramKind::kEncode}));
  kinds.push_back(SteppingClocks("step_all_clocks", {ProgramKind::kBroker, ProgramKind::kApi,
                                                     ProgramKind::kWorker, ProgramKind::kEncode}));
}

}  // namespace millrace::chaos
