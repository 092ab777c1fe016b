#pragma once

#include <algorithm>
#include <cstddef>
#include <deque>
#include <optional>
#include <utility>

#include "core/base/mutex.h"

namespace millrace::encode {

// A queue between two stages. Any number of threads may push and pop.
//
// Flush is an item like the others (a null packet or frame), not a state of the queue, so it cannot
// overtake what was pushed before it.
//
// Once a long queue is full, pushing threads wait until it is half empty; otherwise a fast pusher
// and a slow popper would switch threads for every item.
template <typename T>
class BoundedQueue {
 public:
  explicit BoundedQueue(size_t capacity)
      : capacity_(capacity),
        resume_at_(capacity < kLongQueue ? std::max<size_t>(capacity, 1) - 1 : capacity / 2) {}
  BoundedQueue(const BoundedQueue&) = delete;
  BoundedQueue& operator=(const BoundedQueue&) = delete;

  // Waits while the queue is full or drains. Returns false, and drops the item, once the queue is
  // stopped.
  bool Push(T item) EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      while (!stopped_ && draining_) not_full_.Wait(mutex_);
      if (stopped_) return false;
      items_.push_back(std::move(item));
      draining_ = items_.size() >= capacity_;
    }
    not_empty_.NotifyOne();
    return true;
  }

  // Waits while the queue is empty. Returns nullopt once the queue is stopped, even if items are
  // left: they belong to work that nobody wants any more.
  std::optional<T> Pop() EXCLUDES(mutex_) {
    std::optional<T> item;
    bool drained = false;
    {
      const MutexLock lock(mutex_);
      while (!stopped_ && items_.empty()) not_empty_.Wait(mutex_);
      if (stopped_) return std::nullopt;
      item = std::move(items_.front());
      items_.pop_front();
      drained = draining_ && items_.size() <= resume_at_;
      if (drained) draining_ = false;
    }
    if (drained) not_full_.NotifyAll();
    return item;
  }

  // Wakes all waiting threads, for good: a stopped queue cannot be started again.
  void Stop() EXCLUDES(mutex_) {
    {
      const MutexLock lock(mutex_);
      stopped_ = true;
    }
    not_full_.NotifyAll();
    not_empty_.NotifyAll();
  }

 private:
  static constexpr size_t kLongQueue = 16;

  const size_t capacity_;
  const size_t resume_at_;  // the length at which pushing goes on

  Mutex mutex_;
  CondVar not_full_;
  CondVar not_empty_;
  std::deque<T> items_ GUARDED_BY(mutex_);
  bool draining_ GUARDED_BY(mutex_) = false;  // was full, and is not yet down to resume_at_
  bool stopped_ GUARDED_BY(mutex_) = false;
};

}  // namespace millrace::encode
