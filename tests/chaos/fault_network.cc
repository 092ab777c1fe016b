#include "tests/chaos/fault_kinds.h"

namespace millrace::chaos {
namespace {

using Faults = LinkProxy::Faults;

struct Way {
  const char* name;
  ProgramKind kind;
  Target target;
};

constexpr Way kWays[] = {{"worker", ProgramKind::kWorker, Target::kWorkerLink},
                         {"api", ProgramKind::kApi, Target::kApiLink}};

FaultKind Harming(const std::string& name, const Way& way, const Faults& to_broker,
                  const Faults& from_broker) {
  return {.name = name + "_" + way.name,
          .target = way.target,
          .least_ms = 300,
          .most_ms = 5000,
          .begin = [way, to_broker, from_broker](FaultScene& scene, size_t index, const Fault&) {
            const ProgramId id{way.kind, index};
            LinkProxy& link = scene.world.LinkOf(id);
            const uint64_t harmed = link.harmed();
            link.Set(LinkProxy::kToBroker, to_broker);
            link.Set(LinkProxy::kFromBroker, from_broker);
            return UndoneBy([id, harmed](FaultScene& then) {
              LinkProxy& mended = then.world.LinkOf(id);
              mended.Set(LinkProxy::kToBroker, {});
              mended.Set(LinkProxy::kFromBroker, {});
              return mended.harmed() > harmed;
            });
          }};
}

FaultKind Breaking(const Way& way) {
  return {.name = std::string("break_") + way.name,
          .target = way.target,
          .least_ms = 0,
          .most_ms = 0,
          .begin = [way](FaultScene& scene, size_t index, const Fault&) {
            const bool connected = scene.world.LinkOf({way.kind, index}).Reset() > 0;
            return UndoneBy([connected](FaultScene&) { return connected; });
          }};
}

}  // namespace

void AddNetworkFaults(std::vector<FaultKind>& kinds) {
  const Faults cut = {.cut = true};
  const Faults lossy = {.lost = 300'000};
  const Faults doubled = {.duplicated = 500'000};
  const Faults replaying = {.replayed = 300'000};
  for (const Way& way : kWays) {
    kinds.push_back(Harming("cut", way, cut, cut));
    kinds.push_back(Harming("cut_to_broker", way, cut, {}));
    kinds.push_back(Harming("cut_from_broker", way, {}, cut));
    kinds.push_back(Harming("lose", way, lossy, lossy));
    kinds.push_back(Harming("duplicate", way, doubled, doubled));
    kinds.push_back(Harming("replay", way, replaying, replaying));
    kinds.push_back(Breaking(way));
  }
}

}  // namespace millrace::chaos
