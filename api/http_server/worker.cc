#include "api/http_server/worker.h"

namespace millrace::http {

size_t ConnectionCount::Add() {
  std::lock_guard lock(mutex_);
  return ++count_;
}

void ConnectionCount::Remove() {
  std::lock_guard lock(mutex_);
  if (--count_ == 0) none_.notify_all();
}

bool ConnectionCount::WaitForNone(std::chrono::steady_clock::time_point deadline) {
  std::unique_lock lock(mutex_);
  return none_.wait_until(lock, deadline, [this] { return count_ == 0; });
}

size_t ConnectionCount::value() const {
  std::lock_guard lock(mutex_);
  return count_;
}

}  // namespace millrace::http
