#pragma once

#include <cstdint>
#include <string>

namespace millrace::encode {

// FFmpeg's log is one a process, and a process runs one task: so this is the task's log. Lines of
// level info and above go to standard error, without the addresses that FFmpeg puts into them, and
// what is evidence for a verdict is kept. What is beyond 8 MiB is left out. Thread-safe.

// Call before FFmpeg is used.
void StartFfmpegLog();

struct FfmpegComplaints {
  // Lines at level error or worse, e.g. "h264: no frame!"; empty if there was none.
  std::string last_error;          // of any part
  std::string last_decoder_error;  // of a decoder
  int64_t demuxer_errors = 0;      // lines at level error or worse that a demuxer wrote
  int64_t decoder_errors = 0;
};
FfmpegComplaints Complaints();
// Forgets them, so that what a later phase complains of is told apart.
void ForgetComplaints();

// While it lives, what FFmpeg says on this thread is neither written nor kept. For work whose
// failure means nothing.
class MutedFfmpegLog {
 public:
  MutedFfmpegLog();
  ~MutedFfmpegLog();
  MutedFfmpegLog(const MutedFfmpegLog&) = delete;
  MutedFfmpegLog& operator=(const MutedFfmpegLog&) = delete;
};

}  // namespace millrace::encode
