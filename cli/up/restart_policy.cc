#include "cli/up/restart_policy.h"

#include <algorithm>

namespace millrace::cli {

std::chrono::milliseconds RestartPolicy::Ended(MonotonicTime now) {
  if (now - started_at_ >= options_.good_run) {
    next_delay_ = options_.first_delay;
    ends_in_a_row_ = 0;
  }
  ++ends_in_a_row_;
  const std::chrono::milliseconds delay = next_delay_;
  next_delay_ = std::min(next_delay_ * 2, options_.longest_delay);
  return delay;
}

}  // namespace millrace::cli
