#pragma once

#include <cstdint>
#include <string>

namespace millrace::encode {

// The log of FFmpeg. It belongs to the process, and a process runs one task, so it is the task's
// log. Lines of level info and above go to standard error, without the addresses that FFmpeg puts
// into them; errors are also counted, as evidence for the verdict. Ends after 8 MiB. Thread-safe.

// Redirects FFmpeg's log. Call it before any other use of FFmpeg.
void StartFfmpegLog();

struct FfmpegComplaints {
  // Lines at level error or worse, e.g. "h264: no frame!"; empty if there was none.
  std::string last_error;          // of any part
  std::string last_decoder_error;  // of a decoder
  int64_t demuxer_errors = 0;      // lines at level error or worse that a demuxer wrote
  int64_t decoder_errors = 0;
};
FfmpegComplaints Complaints();
// Forgets all complaints, so that those of the next phase stand alone.
void ForgetComplaints();

// While it lives, FFmpeg's messages on this thread are neither written nor counted. For attempts
// that are allowed to fail.
class MutedFfmpegLog {
 public:
  MutedFfmpegLog();
  ~MutedFfmpegLog();
  MutedFfmpegLog(const MutedFfmpegLog&) = delete;
  MutedFfmpegLog& operator=(const MutedFfmpegLog&) = delete;
};

}  // namespace millrace::encode
