#pragma once

#include <optional>

#include "core/model/encode_spec.h"
#include "transcoder/encode/stages/filter_graph.h"
#include "transcoder/encode/stages/stage.h"

namespace millrace::encode {

// The filter stage of a sound track: sample format, rate and channels that the encoder can take,
// silence where time jumps, starting at 0. References must outlive the stage.
class AudioStage {
 public:
  // Throws Error{kEncoderUnavailable} if the encoder is not built in.
  AudioStage(const AudioSpec& spec, FrameQueue& in, Sink<FramePtr> out);
  void Run();

 private:
  // What a graph was built for.
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
  // Chosen by the first frame; stay.
  int rate_ = 0;
  ChannelLayout layout_;
};

}  // namespace millrace::encode
