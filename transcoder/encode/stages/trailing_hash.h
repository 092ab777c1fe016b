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

// The bytes of a file in front of its media.
using FileHead = std::vector<uint8_t>;
// Predicts the head of a file; nullopt if it cannot. Runs on a thread of its own, and returns soon,
// with any value, once it is asked to stop.
using ForeseeHead = std::function<std::optional<FileHead>(const std::stop_token&)>;

// Hashes a file while another thread writes it, and starts sending it to the disk.
//
// SHA-256 takes bytes in their order, but a muxer writes the head last, so the head has to be
// predicted. If that fails or proves wrong, the finished file is hashed from its start. Owned and
// used by one thread; reads the file on a thread of its own.
class TrailingHash {
 public:
  // REQUIRES: the file exists.
  TrailingHash(std::string path, ForeseeHead foresee);
  TrailingHash(const TrailingHash&) = delete;
  TrailingHash& operator=(const TrailingHash&) = delete;
  // Stops hashing.
  ~TrailingHash();

  // Tells that the file has so many bytes, which will not change except in the head.
  void Written(int64_t bytes);
  // Tells that the file is complete, and that no byte behind `rewritten_to` was written twice. Ends
  // a prediction that still runs.
  void Complete(int64_t rewritten_to);
  // Returns the hash in lower-case hex. Call it once, after Complete. Throws Error{kStorageError}
  // if the file cannot be read.
  std::string Get() { return result_.get(); }
  // Bytes behind the head that were hashed before the file was complete. Any thread may call it.
  // After Get it is 0 if the file had to be hashed from its start.
  int64_t followed() const { return followed_.load(); }

 private:
  struct State {
    int64_t written = 0;
    std::optional<int64_t> rewritten_to;  // set: complete
  };

  std::string Run(const std::stop_token& stop);
  // Hashes the bytes that come until the file is complete. Returns how far it came.
  int64_t Follow(Sha256& hash, int fd, int64_t begin, const std::stop_token& stop);
  // Hashes the file behind a predicted head. Returns nullopt if the prediction was wrong.
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
