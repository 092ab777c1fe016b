#pragma once

#include <optional>

#include "core/model/encode_spec.h"
#include "transcoder/encode/stages/filter_graph.h"
#include "transcoder/encode/stages/stage.h"

namespace millrace::encode {

// The filter stage of a sound track: converts to a sample format, rate and layout that the encoder
// takes, fills jumps of time with silence, and starts at 0. References must outlive the stage.
class AudioStage {
 public:
  // Throws Error{kEncoderUnavailable} if the encoder is not built in.
  AudioStage(const AudioSpec& spec, FrameQueue& in, Sink<FramePtr> out);
  void Run();

 private:
  // The properties of the frames that a graph was built for.
  struct Shape {
    int rate = 0;
    int format = -1;
    ChannelLayout layout;
  };
  void Push(FramePtr frame);
  void Rebuild(const AVFrame& frame);
  void ChooseOutput(const AVFrame& first);
  bool Drain();

  const AudioSpec spec_;
  const AVCodec& encoder_;
  FrameQueue& in_;
  const Sink<FramePtr> out_;

  std::optional<FilterGraph> graph_;
  Shape shape_;
  // Chosen by the first frame, then constant.
  int rate_ = 0;
  ChannelLayout layout_;
};

}  // namespace millrace::encode
