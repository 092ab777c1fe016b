#pragma once

#include <poll.h>

#include <chrono>

namespace millrace::harness {

// Waits for what another process does and nothing announces: asks `condition` until it says yes or
// `limit` is over. Returns its last answer. Where there is an event to wait on (a process that
// ends, a long poll), use that.
template <typename Condition>
bool Eventually(Condition condition, std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  while (!condition()) {
    if (std::chrono::steady_clock::now() >= deadline) return condition();
    poll(nullptr, 0, 10);
  }
  return true;
}

}  // namespace millrace::harness
