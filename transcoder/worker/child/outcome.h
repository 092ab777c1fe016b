#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <variant>

#include "core/base/error.h"
#include "core/model/task.h"

namespace millrace::worker {

// The reason for which the worker itself killed a child.
enum class KillCause {
  kNone,
  kOrdered,   // cancelled, lost or draining: nobody wants the result any more
  kStalled,   // the watchdog
  kDeadline,  // of a probe
};

// Everything that is known of a child that has ended.
struct ChildEnd {
  std::optional<int> wait_status;    // raw; nullopt if the zygote died before it could tell
  std::string refusal;               // why the zygote did not start it; empty if it did
  std::optional<Manifest> manifest;  // from its result line
  std::optional<Error> error;        // from its error line
  ResourceUsage usage;               // peak memory and processor time
  KillCause cause = KillCause::kNone;
  bool memory_pressure = false;  // the kernel killed something, or the child was near the limit
  Progress progress;             // the last
  std::chrono::milliseconds stall_timeout{0};
};

struct RunFinished {
  Manifest manifest;
  ResourceUsage usage;
};
struct RunFailed {
  Error error;
  ResourceUsage usage;
};
struct RunStopped {};
using Outcome = std::variant<RunFinished, RunFailed, RunStopped>;

// Judges the end of a child: exit status 0 is not success, and a result followed by a crash is
// none either. Pure.
Outcome Judge(ChildEnd end);

// "SIGSEGV" for 11.
std::string SignalName(int signal);

}  // namespace millrace::worker
