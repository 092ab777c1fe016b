#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <variant>

#include "transcoder/encode/stages/encoders.h"
#include "transcoder/encode/stages/mux_stage.h"
#include "transcoder/encode/stages/stage.h"

namespace millrace::encode {

// Counts what goes through an encode stage. Thread-safe.
struct EncodeTally {
  std::atomic<int64_t> frames_in{0};
  std::atomic<int64_t> frames_out{0};  // packets, for pictures
  std::atomic<int64_t> dropped{0};     // had the same time as the one before
  std::atomic<int> width{0};
  std::atomic<int> height{0};
};

// Encodes one output stream. The encoder is opened for the first frame, because only that shows
// what the filters made. References must outlive the stage.
class EncodeStage {
 public:
  using EncoderOptions = std::variant<VideoEncoderOptions, AudioEncoderOptions>;
  EncodeStage(EncoderOptions options, size_t track, FrameQueue& in, Sink<MuxItem> out,
              EncodeTally& tally);
  void Run();

 private:
  bool Open(const AVFrame& first);
  bool Encode(FramePtr frame);
  bool Receive();
  // Returns false if the frame has to be dropped.
  bool SetTime(AVFrame& frame);
  void ForceKeyframes(AVFrame& frame);
  int64_t TakeDuration(int64_t pts);
  const VideoEncoderOptions* video() const { return std::get_if<VideoEncoderOptions>(&options_); }

  const EncoderOptions options_;
  const size_t track_;
  FrameQueue& in_;
  const Sink<MuxItem> out_;
  EncodeTally& tally_;
  CodecPtr encoder_;
  int64_t last_pts_ = AV_NOPTS_VALUE;
  int64_t next_keyframe_ = 0;  // of those that are asked for, counted from 0
  std::deque<std::pair<int64_t, int64_t>> durations_;  // PTS and duration of what is inside
};

}  // namespace millrace::encode
