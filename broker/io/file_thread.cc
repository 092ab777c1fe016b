#include "broker/io/file_thread.h"

#include <sys/eventfd.h>

#include <cerrno>
#include <utility>

#include "core/base/files.h"

namespace millrace::broker {
namespace {

UniqueFd MakeEvent() {
  UniqueFd fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!fd) ThrowStorageError(errno, "eventfd", "");
  return fd;
}

}  // namespace

FileThread::FileThread()
    : ready_(MakeEvent()), thread_([this, token = stop_.get_token()] { Run(token); }) {}

FileThread::~FileThread() {
  {
    const MutexLock lock(mutex_);
    stopping_ = true;
    waiting_.clear();
  }
  stop_.request_stop();
  changed_.NotifyAll();
  thread_.join();
}

void FileThread::Post(Work work, std::function<void()> done) {
  {
    const MutexLock lock(mutex_);
    waiting_.push_back({.work = std::move(work), .done = std::move(done)});
  }
  changed_.NotifyOne();
}

void FileThread::RunDone() {
  std::vector<std::function<void()>> done;
  {
    // The descriptor is readable exactly while there is something in the list.
    const MutexLock lock(mutex_);
    eventfd_t ignored = 0;
    (void)::eventfd_read(ready_.get(), &ignored);
    done = std::exchange(done_, {});
  }
  for (const auto& run : done) run();
}

void FileThread::Run(const std::stop_token& stop) {
  while (true) {
    Piece piece;
    {
      const MutexLock lock(mutex_);
      while (waiting_.empty() && !stopping_) changed_.Wait(mutex_);
      if (stopping_) return;
      piece = std::move(waiting_.front());
      waiting_.pop_front();
    }
    piece.work(stop);
    if (!piece.done) continue;
    const MutexLock lock(mutex_);
    done_.push_back(std::move(piece.done));
    (void)::eventfd_write(ready_.get(), 1);
  }
}

}  // namespace millrace::broker
