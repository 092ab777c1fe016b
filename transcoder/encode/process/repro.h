#pragma once

#include <chrono>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::encode {

struct ReproOptions {
  std::string folder;  // a dead letter's: docs/dead-letters.md
  std::string input;   // in the place of the folder's own; empty: that one
  // The attempt is killed after this long; unset: an hour, or 5 minutes if the job died of making
  // no progress.
  std::optional<std::chrono::duration<double>> limit;
};

// The exit status of millrace-encode --repro.
inline constexpr int kReproduced = 0;
inline constexpr int kNotReproduced = 1;  // the attempt ended otherwise
inline constexpr int kNotRun = 2;         // the attempt could not be made

// Repeats the attempt that a dead letter's job died of, in a child with the sandbox that a worker's
// has, and prints how it ended, compared with report.json. Outputs, report and log stay in a fresh
// folder in $TMPDIR, which is printed. Returns the exit status. REQUIRES: the process has one
// thread. Throws nothing.
int Reproduce(const ReproOptions& options);

// How the child of an attempt ended.
struct AttemptEnd {
  int wait_status = 0;         // raw
  bool timed_out = false;      // it was killed at the limit
  std::string_view last_line;  // of its report
};
// The code of the error that a worker would make of this end; "none" for a success.
std::string CodeOf(const AttemptEnd& end);
// True if `end` is the failure that is recorded as `expected`.
bool Repeats(std::string_view expected, const AttemptEnd& end);

}  // namespace millrace::encode
