#pragma once

#include <optional>
#include <vector>

#include "transcoder/encode/input/plan.h"
#include "transcoder/ffmpeg.h"

namespace millrace::encode {

// Moves decoded frames onto the output's time line and drops those outside of it: it runs from 0 to
// the end of the clip. Timestamps come in and go out in the stream's time base. One thread uses it.

// Passes pictures. The picture on the screen when the clip starts is shown from 0 on, whenever it
// began.
class VideoGate {
 public:
  VideoGate(const TimeLine& time, AVRational time_base);
  // Up to two frames, in order: the one held back for the start, and this one.
  std::vector<FramePtr> Pass(FramePtr frame);
  // Returns the last picture if the input ended while it was held back and it lasts into the clip;
  // else null.
  FramePtr Flush();

 private:
  const int64_t origin_;
  const std::optional<int64_t> end_;
  FramePtr held_;
  bool reaches_start_ = false;  // by its own duration, held_ lasts into the clip
  bool begun_ = false;
};

// Passes sound, cut to the sample.
class AudioGate {
 public:
  AudioGate(const TimeLine& time, AVRational time_base);
  // Null if the frame lies outside.
  FramePtr Pass(FramePtr frame);

 private:
  const int64_t origin_;
  const std::optional<int64_t> end_;
  const AVRational time_base_;
};

}  // namespace millrace::encode
