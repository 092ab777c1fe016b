#include "transcoder/encode/stages/stage.h"

namespace millrace::encode {

void StreamTally::NoteError(double pts_seconds, int64_t byte_offset, const std::string& what) {
  decode_errors.fetch_add(1);
  const MutexLock lock(mutex_);
  if (first_error_) return;
  first_error_ = {.pts_seconds = pts_seconds, .byte_offset = byte_offset, .what = what};
}

std::optional<StreamTally::FirstError> StreamTally::first_error() const {
  const MutexLock lock(mutex_);
  return first_error_;
}

}  // namespace millrace::encode
