#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <future>
#include <optional>
#include <stop_token>
#include <string>
#include <thread>
#include <vector>

#include "core/base/mutex.h"
#include "core/base/sha256.h"

namespace millrace::encode {

// The beginning of a file, up to where its media begin.
using FileHead = std::vector<uint8_t>;
// Says what the head of a file will be, or nothing. Runs on a thread of its own; returns soon, with
// whatever, once it is asked to stop.
using ForeseeHead = std::function<std::optional<FileHead>(const std::stop_token&)>;

// Hashes a file behind the one who writes it, and sends it to the disk on the way.
//
// SHA-256 takes the bytes in their order, and a muxer writes the head last. So the head has to be
// foreseen; where it cannot be, or turns out otherwise, the finished file is hashed from its start.
// Owned and used by one thread; reads the file on another one of its own.
class TrailingHash {
 public:
  // The file exists.
  TrailingHash(std::string path, ForeseeHead foresee);
  TrailingHash(const TrailingHash&) = delete;
  TrailingHash& operator=(const TrailingHash&) = delete;
  // Stops what still goes on.
  ~TrailingHash();

  // So many bytes are in the file, and none of them will change, except in the head.
  void Written(int64_t bytes);
  // The file is complete; nothing behind `rewritten_to` was written twice. A head that is not
  // foreseen by now is no longer waited for.
  void Complete(int64_t rewritten_to);
  // After Complete, once: lower-case hex. Throws Error{kStorageError} if the file cannot be read.
  std::string Get() { return result_.get(); }
  // Bytes behind the head that were hashed before the file was complete. Any thread; once Get has
  // returned, what was gained: 0 if the file had to be hashed from its start.
  int64_t followed() const { return followed_.load(); }

 private:
  struct State {
    int64_t written = 0;
    std::optional<int64_t> rewritten_to;  // set: complete
  };

  std::string Run(const std::stop_token& stop);
  // Hashes what comes until the file is complete; returns how far it came.
  int64_t Follow(Sha256& hash, int fd, int64_t begin, const std::stop_token& stop);
  // Behind the head that was foreseen. Returns nullopt if it is another one.
  std::optional<std::string> HashBehind(const FileHead& head, const std::stop_token& stop);
  State Await(int64_t bytes, const std::stop_token& stop) EXCLUDES(mutex_);

  const std::string path_;
  const ForeseeHead foresee_;
  int64_t told_ = 0;  // to the other thread

  Mutex mutex_;
  CondVar changed_;
  State state_ GUARDED_BY(mutex_);

  std::atomic<int64_t> followed_{0};
  std::stop_source foreseeing_;

  std::future<std::string> result_;
  std::jthread thread_;  // the last: uses all others
};

}  // namespace millrace::encode
