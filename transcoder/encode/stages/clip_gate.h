#pragma once

#include <optional>
#include <vector>

#include "transcoder/encode/input/plan.h"
#include "transcoder/ffmpeg.h"

namespace millrace::encode {

// Moves decoded frames onto the output's time line and lets through what lies on it: from 0 to the
// end of the clip. Timestamps come in and go out in the stream's time base. One thread uses it.

// The picture that is on the screen when the clip starts is shown from 0 on, whenever it began.
class VideoGate {
 public:
  VideoGate(const TimeLine& time, AVRational time_base);
  // Up to two frames, in order: the one held back for the start, and this one.
  std::vector<FramePtr> Pass(FramePtr frame);
  // What is still held back when the input ends: the last picture, if it lasts into the clip.
  FramePtr Flush();

 private:
  const int64_t origin_;
  const std::optional<int64_t> end_;
  FramePtr held_;
  bool reaches_start_ = false;  // by its own duration, held_ lasts into the clip
  bool begun_ = false;
};

// Sound is cut to the sample.
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
