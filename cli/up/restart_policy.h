#pragma once

#include <chrono>

#include "core/base/clock.h"

namespace millrace::cli {

// Decides how long to wait before restarting a program that ended: a moment the first time, twice
// as long after each further end in a row, up to a ceiling. A long enough run starts the count
// anew. One for each child, used by the supervisor's thread.
class RestartPolicy {
 public:
  struct Options {
    std::chrono::milliseconds first_delay{100};
    std::chrono::milliseconds longest_delay{10'000};
    std::chrono::milliseconds good_run{30'000};  // a run this long starts the count anew
  };

  RestartPolicy() : RestartPolicy(Options()) {}
  explicit RestartPolicy(Options options) : options_(options), next_delay_(options.first_delay) {}

  void Started(MonotonicTime now) { started_at_ = now; }
  // Returns how long to wait from `now`, when the program ended.
  std::chrono::milliseconds Ended(MonotonicTime now);
  // Returns how often the program has ended since its last good run.
  int ends_in_a_row() const { return ends_in_a_row_; }

 private:
  const Options options_;
  std::chrono::milliseconds next_delay_;
  MonotonicTime started_at_{};
  int ends_in_a_row_ = 0;
};

}  // namespace millrace::cli
