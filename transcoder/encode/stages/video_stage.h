#pragma once

#include <atomic>
#include <optional>
#include <string>

#include "core/model/encode_spec.h"
#include "transcoder/encode/input/picture_shape.h"
#include "transcoder/encode/stages/filter_graph.h"
#include "transcoder/encode/stages/stage.h"

namespace millrace::encode {

// Options of PictureFilter.
struct PictureOptions {
  std::optional<int> max_width_px;
  std::optional<int> max_height_px;
  std::optional<double> fps;                     // constant output rate
  Orientation orientation;                       // of the stream; undone
  AVRational sample_aspect_ratio{1, 1};          // of the stream, for frames that have none
  bool interlaced = false;                       // the container says so; frames may say so later
  bool keep_depth = false;                       // more than 8 bits stay (as 10) and HDR stays HDR
  AVPixelFormat still_format = AV_PIX_FMT_NONE;  // set: that of a still picture's codec
};

// Builds the filters for pictures like one frame: deinterlace, scale to square pixels and into the
// box, turn upright, HDR to SDR where the codec cannot carry it, pixel format. Rebuilds them when
// the pictures change in the middle; the size of the output stays. One thread uses it.
class PictureFilter {
 public:
  explicit PictureFilter(const PictureOptions& options) : options_(options) {}

  // Null flushes.
  void Push(FramePtr frame);
  // Null if there is nothing (yet). Frames carry their time in `pts`, `time_base` and DurationOf.
  FramePtr Pull();
  bool tone_mapped() const { return tone_mapped_; }

 private:
  // The properties of pictures for which a graph was built. A change of any makes a new graph.
  struct Shape {
    int width = 0;
    int height = 0;
    int format = -1;
    AVRational aspect{1, 1};
    AVColorTransferCharacteristic transfer = AVCOL_TRC_UNSPECIFIED;
    AVColorSpace matrix = AVCOL_SPC_UNSPECIFIED;
    AVColorRange range = AVCOL_RANGE_UNSPECIFIED;
    bool deinterlace = false;

    bool SameAs(const Shape& other) const;
  };
  struct Graph {
    FilterGraph filters;
    AVRational in_time_base;
  };
  Shape ShapeOf(const AVFrame& frame) const;
  void Rebuild(const AVFrame& frame, const Shape& shape);
  FramePtr PullFrom(Graph& graph) const;
  void TagOutput(AVFrame& frame) const;
  std::string Describe(const AVFrame& frame, const Shape& shape);
  std::string DescribeScaling(const Shape& shape, bool tone_map);
  std::string DescribeFormat(const Shape& shape, bool tone_map) const;

  const PictureOptions options_;
  std::optional<Graph> graph_;
  std::optional<Graph> ending_;  // flushed, with frames left
  Shape shape_;
  std::optional<PictureSize> size_;  // upright, of the output; chosen by the first frame
  bool tone_mapped_ = false;
};

// The filter stage of a rendition.
class VideoStage {
 public:
  // References must outlive the stage. `tone_mapped` is set if HDR was turned into SDR.
  VideoStage(const PictureOptions& options, FrameQueue& in, Sink<FramePtr> out,
             std::atomic<bool>& tone_mapped);
  void Run();

 private:
  bool Drain();

  PictureFilter filter_;
  FrameQueue& in_;
  const Sink<FramePtr> out_;
  std::atomic<bool>& tone_mapped_;
};

}  // namespace millrace::encode
