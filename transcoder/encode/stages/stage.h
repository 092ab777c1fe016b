#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <limits>
#include <optional>
#include <string>
#include <vector>

#include "core/base/mutex.h"
#include "transcoder/encode/base/bounded_queue.h"
#include "transcoder/ffmpeg.h"

namespace millrace::encode {

// A stage runs on one thread of its own, has one way in and one way out, and does not know its
// neighbours. A null item is the flush: each stage passes it on after the items that it held back.
//
// A sink takes one item. It returns false once the task is stopped; then the stage returns.
template <typename T>
using Sink = std::function<bool(T)>;

using PacketQueue = BoundedQueue<PacketPtr>;
using FrameQueue = BoundedQueue<FramePtr>;

// Counts of one stream of the input, made by its demuxer and its decoder. The verdict reads them to
// tell success from the mere absence of errors. Thread-safe.
struct StreamTally {
  std::atomic<int64_t> packets{0};
  std::atomic<int64_t> corrupt_packets{0};
  std::atomic<int64_t> frames{0};  // decoded, before the clip
  std::atomic<int64_t> kept_frames{0};
  std::atomic<int64_t> decode_errors{0};
  std::atomic<int64_t> end_us{
      std::numeric_limits<int64_t>::min()};  // of the last frame, output time

  void NoteError(double pts_seconds, int64_t byte_offset, const std::string& what);
  struct FirstError {
    double pts_seconds = 0;
    int64_t byte_offset = -1;
    std::string what;
  };
  std::optional<FirstError> first_error() const;

 private:
  mutable Mutex mutex_;
  std::optional<FirstError> first_error_ GUARDED_BY(mutex_);
};

// Counts of the input as a whole.
struct InputTally {
  std::atomic<int64_t> demuxed_us{0};  // of output time, the furthest
  std::atomic<bool> finished{false};
  std::atomic<bool> cut_off{false};  // the demuxer ended with an error instead of the end of file
};

// Gives `item` to each sink: copies to all but the last.
template <typename Pointer>
bool FanOut(const std::vector<Sink<Pointer>>& sinks, Pointer item) {
  for (size_t i = 0; i + 1 < sinks.size(); ++i) {
    if (!sinks[i](item ? Share(*item) : nullptr)) return false;
  }
  return sinks.empty() || sinks.back()(std::move(item));
}

}  // namespace millrace::encode
