#include "api/http_server/worker.h"

namespace millrace::http {

size_t ConnectionCount::Add() {
  MutexLock lock(mutex_);
  return ++count_;
}

void ConnectionCount::Remove() {
  MutexLock lock(mutex_);
  if (--count_ == 0) none_.NotifyAll();
}

bool ConnectionCount::WaitForNone(const Clock& clock, MonotonicTime deadline) {
  MutexLock lock(mutex_);
  while (count_ > 0 && clock.Now() < deadline) {
    none_.WaitUntil(mutex_, deadline);
  }
  return count_ == 0;
}

size_t ConnectionCount::value() const {
  MutexLock lock(mutex_);
  return count_;
}

}  // namespace millrace::http
