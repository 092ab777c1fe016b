#include "api/live/work_queue.h"

#include <exception>
#include <utility>

#include "core/base/log.h"

namespace millrace::api {

WorkQueue::WorkQueue(int threads) {
  for (int i = 0; i < threads; ++i) threads_.emplace_back([this] { Run(); });
}

WorkQueue::~WorkQueue() {
  {
    const MutexLock lock(mutex_);
    closed_ = true;
  }
  changed_.NotifyAll();
  for (std::thread& thread : threads_) thread.join();
}

void WorkQueue::Post(std::function<void()> task) {
  {
    const MutexLock lock(mutex_);
    tasks_.push_back(std::move(task));
  }
  changed_.NotifyOne();
}

void WorkQueue::Run() {
  while (true) {
    std::function<void()> task;
    {
      const MutexLock lock(mutex_);
      while (!closed_ && tasks_.empty()) changed_.Wait(mutex_);
      if (tasks_.empty()) return;
      task = std::move(tasks_.front());
      tasks_.pop_front();
    }
    try {
      task();
    } catch (const std::exception& error) {
      LogError("a disk task failed", {{"error", error.what()}});
    }
  }
}

}  // namespace millrace::api
