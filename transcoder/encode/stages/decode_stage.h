#pragma once

#include <memory>
#include <vector>

#include "transcoder/encode/input/input_file.h"
#include "transcoder/encode/stages/clip_gate.h"
#include "transcoder/encode/stages/stage.h"

namespace millrace::encode {

// Options of a decode stage, taken before the demuxer's thread starts.
struct DecodeOptions {
  TimeLine time;
  int threads = 0;  // 0: as many as there are processors
  int64_t max_pixels = 0;
  bool cover_art = false;  // one picture without a time
};

// Decodes one stream, once, and hands each frame to all its sinks. Frames come out on the output's
// time line: `pts` (from best_effort_timestamp) and `time_base` are set, and frames outside of the
// clip are dropped. Damaged packets are counted, not fatal: the verdict decides at the end.
class DecodeStage {
 public:
  // Throws Error{kNoDecoder}. `stream` is used by the constructor only; the rest must outlive the
  // stage.
  DecodeStage(const AVStream& stream, AVRational frame_rate, const DecodeOptions& options,
              PacketQueue& in, std::vector<Sink<FramePtr>> out, StreamTally& tally);
  void Run();

 private:
  void Send(const AVPacket* packet);
  // Receives the frames that are ready. Returns false once the task is stopped.
  bool Receive();
  bool Emit(FramePtr frame);
  bool Finish();
  void SetTime(AVFrame& frame);
  void CheckNotEncrypted(const AVPacket& packet) const;

  const AVRational time_base_;
  const int64_t frame_duration_;  // in time_base_, by the frame rate; 0 if that is unknown
  const bool is_video_;
  const bool cover_art_;
  PacketQueue& in_;
  const std::vector<Sink<FramePtr>> out_;
  StreamTally& tally_;
  CodecPtr decoder_;
  VideoGate video_gate_;
  AudioGate audio_gate_;
  int64_t expected_pts_ = AV_NOPTS_VALUE;
};

}  // namespace millrace::encode
