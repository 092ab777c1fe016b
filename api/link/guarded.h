#pragma once

#include <exception>

#include "core/base/log.h"

namespace millrace::api {

// Runs a callback on the link thread. One that throws must not end the link for all others.
template <typename Task>
void Guarded(const Task& task) {
  try {
    task();
  } catch (const std::exception& error) {
    LogError("a callback of the broker link failed", {{"error", error.what()}});
  }
}

}  // namespace millrace::api
