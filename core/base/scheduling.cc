#include "core/base/scheduling.h"

#include <sched.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstdint>

namespace millrace {
namespace {

// The shortest turn that the kernel grants.
constexpr uint64_t kShortTurnNs = 100'000;
// The kernel chooses.
constexpr uint64_t kUsualTurnNs = 0;

// The kernel's struct sched_attr in its first size. The C library declares it from version 2.41 on,
// and its header cannot be included together with the kernel's before.
struct Attributes {
  uint32_t size = sizeof(Attributes);
  uint32_t policy = SCHED_OTHER;
  uint64_t flags = 0;
  int32_t nice = 0;
  uint32_t priority = 0;
  uint64_t runtime_ns = 0;  // under SCHED_OTHER: the length of a turn
  uint64_t deadline_ns = 0;
  uint64_t period_ns = 0;
};
static_assert(sizeof(Attributes) == 48);

void SetTurns(uint64_t nanoseconds) {
  if (sched_getscheduler(0) != SCHED_OTHER) return;
  Attributes attributes;
  attributes.runtime_ns = nanoseconds;
  errno = 0;
  attributes.nice = getpriority(PRIO_PROCESS, 0);
  if (errno != 0) return;
  // A refusal is ignored: it costs latency on a busy machine, nothing else.
  [[maybe_unused]] const auto refused = syscall(SYS_sched_setattr, 0, &attributes, 0);
}

}  // namespace

void AskForShortTurns() { SetTurns(kShortTurnNs); }

void AskForUsualTurns() { SetTurns(kUsualTurnNs); }

}  // namespace millrace
