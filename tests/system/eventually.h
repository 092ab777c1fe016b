#pragma once

#include <poll.h>

#include <chrono>

namespace millrace::harness {

// Polls `condition` until it returns true or `limit` is over, and returns its last result. For
// states of another process that nothing announces; wait for an event where there is one (the end
// of a process, a long poll).
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
