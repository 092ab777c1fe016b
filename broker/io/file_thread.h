#pragma once

#include <deque>
#include <functional>
#include <stop_token>
#include <thread>
#include <vector>

#include "core/base/mutex.h"
#include "core/base/unique_fd.h"

namespace millrace::broker {

// Does slow file work beside the broker's loop, one piece after the other in the order in which
// they were handed over, so that no client waits for a large file to be copied or removed. Owned by
// the loop. The destructor breaks off the current piece, if that heeds its token, and forgets the
// others: a later broker must be able to find each of them undone, and do it.
class FileThread {
 public:
  using Work = std::function<void(const std::stop_token&)>;

  FileThread();
  ~FileThread();
  FileThread(const FileThread&) = delete;
  FileThread& operator=(const FileThread&) = delete;

  // Runs `work`, which must not throw, on this thread, and then `done` (which may be empty) on the
  // loop's, from RunDone().
  void Post(Work work, std::function<void()> done);
  // Readable while there is something for RunDone() to run.
  int ready_fd() const { return ready_.get(); }
  void RunDone();

 private:
  struct Piece {
    Work work;
    std::function<void()> done;
  };

  void Run(const std::stop_token& stop);

  const UniqueFd ready_;  // an eventfd
  Mutex mutex_;
  CondVar changed_;
  std::deque<Piece> waiting_ GUARDED_BY(mutex_);
  std::vector<std::function<void()>> done_ GUARDED_BY(mutex_);
  bool stopping_ GUARDED_BY(mutex_) = false;
  std::stop_source stop_;
  std::thread thread_;  // last: it uses the others
};

}  // namespace millrace::broker
