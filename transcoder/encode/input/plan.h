#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/model/task.h"
#include "transcoder/encode/input/input_file.h"

namespace millrace::encode {

// Times are microseconds of the input's own time line, as its streams give them.
struct TimeLine {
  int64_t origin =
      0;  // of the input that becomes 0 of the output: first presentation plus clip start
  int64_t input_start = 0;      // the first presentation of the streams that are used
  std::optional<int64_t> clip;  // how much is used; unset: to the end
  bool trimmed_start = false;   // the clip starts later than the input

  // The input time that becomes 0 of the output, in the time base of a stream.
  int64_t OriginIn(AVRational time_base) const;
};

// A media file to make. At least one of the streams is set.
struct FilePlan {
  const OutputSpec* spec = nullptr;
  std::optional<int> video_stream;
  std::optional<int> audio_stream;
};

struct ThumbnailPlan {
  const OutputSpec* spec = nullptr;
  int stream = -1;
  bool cover_art = false;  // the stream is an attached picture: it has one frame and no time
};

// The outputs that a task will make of an input, decided before anything is decoded.
struct Plan {
  std::vector<FilePlan> files;
  std::vector<ThumbnailPlan> thumbnails;
  TimeLine time;
  std::optional<double> header_seconds;  // of the part that is used, as the header promises it
  std::vector<Warning> warnings;

  // The streams that must be decoded, each once.
  std::vector<int> DecodedStreams() const;
  // All streams that are used.
  std::vector<int> UsedStreams() const;
};

// Chooses streams (as a player would, never cover art for a picture) and drops
// what cannot be made with a warning. `spec` must outlive the plan. Throws Error:
// kNoMatchingStreams if nothing is left, kNoDecoder, kEncryptedInput, kUnsupportedFormat if a codec
// is to be copied into a container that does not take it.
Plan MakePlan(InputFile& input, const EncodeSpec& spec);

}  // namespace millrace::encode
