#include "transcoder/encode/stages/video_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "transcoder/encode/input/media_facts.h"

namespace millrace::encode {
namespace {

bool IsRgb(int format) {
  const AVPixFmtDescriptor* found = av_pix_fmt_desc_get(static_cast<AVPixelFormat>(format));
  return found != nullptr && (found->flags & (AV_PIX_FMT_FLAG_RGB | AV_PIX_FMT_FLAG_PAL)) != 0;
}

bool IsFullRangeYuv(int format, AVColorRange range) {
  switch (format) {
    case AV_PIX_FMT_YUVJ420P:
    case AV_PIX_FMT_YUVJ422P:
    case AV_PIX_FMT_YUVJ444P:
    case AV_PIX_FMT_YUVJ440P:
    case AV_PIX_FMT_YUVJ411P:
      return true;
    default:
      return range == AVCOL_RANGE_JPEG;
  }
}

// Untagged pictures of at least this height are taken for BT.709, lower ones for BT.601.
constexpr int kHdLines = 720;

// Tags untagged pictures as players take them: by size, and PAL by its 576 lines.
void TagInput(AVFrame& frame) {
  if (IsRgb(frame.format)) return;
  const bool hd = std::max(frame.height, frame.width * 9 / 16) >= kHdLines;
  const bool pal = frame.height == 576 || frame.height == 288;
  if (frame.colorspace == AVCOL_SPC_UNSPECIFIED || frame.colorspace == AVCOL_SPC_RGB) {
    frame.colorspace = hd ? AVCOL_SPC_BT709 : pal ? AVCOL_SPC_BT470BG : AVCOL_SPC_SMPTE170M;
  }
  if (frame.color_primaries == AVCOL_PRI_UNSPECIFIED) {
    frame.color_primaries = frame.colorspace == AVCOL_SPC_BT2020_NCL ? AVCOL_PRI_BT2020
                            : hd                                     ? AVCOL_PRI_BT709
                            : pal                                    ? AVCOL_PRI_BT470BG
                                                                     : AVCOL_PRI_SMPTE170M;
  }
  if (frame.color_trc == AVCOL_TRC_UNSPECIFIED) {
    frame.color_trc = hd || pal ? AVCOL_TRC_BT709 : AVCOL_TRC_SMPTE170M;
  }
}

void Append(std::string& chain, const std::string& filter) {
  if (filter.empty()) return;
  if (!chain.empty()) chain += ',';
  chain += filter;
}

// Linear light, into the BT.709 gamut, compressed to what SDR can show (Hable's curve).
std::string ToneMap(const AVFrame& frame) {
  const bool tagged = frame.color_primaries != AVCOL_PRI_UNSPECIFIED;
  const bool matrix = frame.colorspace != AVCOL_SPC_UNSPECIFIED;
  return fmt::format(
      "zscale=tin={}:{}{}t=linear:npl=100,format=gbrpf32le,zscale=p=bt709,"
      "tonemap=tonemap=hable:desat=0,zscale=t=bt709:m=bt709:r=limited",
      frame.color_trc == AVCOL_TRC_SMPTE2084 ? "smpte2084" : "arib-std-b67",
      tagged ? "" : "pin=bt2020:", matrix ? "" : "min=bt2020nc:");
}

}  // namespace

bool PictureFilter::Shape::SameAs(const Shape& other) const {
  return width == other.width && height == other.height && format == other.format &&
         av_cmp_q(aspect, other.aspect) == 0 && transfer == other.transfer &&
         matrix == other.matrix && range == other.range && deinterlace == other.deinterlace;
}

PictureFilter::Shape PictureFilter::ShapeOf(const AVFrame& frame) const {
  AVRational aspect = frame.sample_aspect_ratio;
  if (aspect.num <= 0 || aspect.den <= 0) aspect = options_.sample_aspect_ratio;
  if (aspect.num <= 0 || aspect.den <= 0) aspect = {1, 1};
  return {.width = frame.width,
          .height = frame.height,
          .format = frame.format,
          .aspect = aspect,
          .transfer = frame.color_trc,
          .matrix = frame.colorspace,
          .range = frame.color_range,
          // Keeps the filter once a picture was interlaced; it passes the others unchanged.
          .deinterlace = options_.interlaced || shape_.deinterlace || IsInterlaced(frame)};
}

std::string PictureFilter::DescribeScaling(const Shape& shape, bool tone_map) {
  const Orientation& turn = options_.orientation;
  const DisplaySize display =
      DisplaySizeOf({.width = shape.width, .height = shape.height}, shape.aspect, turn);
  if (!size_) size_ = FitInside(display, options_.max_width_px, options_.max_height_px);
  // Puts a later picture of another shape into the same frame with bars, not stretched. Compares
  // the size that it would have inside the frame with the frame.
  PictureSize inside = FitInside(display, size_->width, size_->height);
  const bool same_shape =
      std::abs(inside.width - size_->width) <= 2 && std::abs(inside.height - size_->height) <= 2;
  if (same_shape) inside = *size_;
  PictureSize before_turn = inside;
  if (turn.SwapsAxes()) std::swap(before_turn.width, before_turn.height);
  const bool resized = before_turn.width != shape.width || before_turn.height != shape.height;

  std::string chain;
  const bool to_limited = IsFullRangeYuv(shape.format, shape.range) || IsRgb(shape.format);
  std::string arguments;
  if (resized) arguments = fmt::format("w={}:h={}", before_turn.width, before_turn.height);
  if (to_limited && !tone_map && options_.still_format == AV_PIX_FMT_NONE) {
    arguments += fmt::format("{}out_range=limited", arguments.empty() ? "" : ":");
    if (IsRgb(shape.format)) {
      arguments +=
          fmt::format(":out_color_matrix={}", size_->height >= kHdLines ? "bt709" : "bt601");
    }
  }
  if (!arguments.empty()) Append(chain, "scale=" + arguments + ":flags=bicubic");
  Append(chain, turn.Filters());
  if (inside != *size_) {
    Append(chain, fmt::format("pad=w={}:h={}:x=-1:y=-1", size_->width, size_->height));
  }
  Append(chain, "setsar=1");
  return chain;
}

std::string PictureFilter::DescribeFormat(const Shape& shape, bool tone_map) const {
  if (options_.still_format == AV_PIX_FMT_YUVJ420P) {
    return "scale=out_range=full:out_color_matrix=bt601,format=yuvj420p";
  }
  if (options_.still_format != AV_PIX_FMT_NONE) {
    return fmt::format("format={}", av_get_pix_fmt_name(options_.still_format));
  }
  const bool deep = options_.keep_depth && !tone_map && BitDepthOf(shape.format) > 8;
  return deep ? "format=yuv420p10le" : "format=yuv420p";
}

std::string PictureFilter::Describe(const AVFrame& frame, const Shape& shape) {
  const bool tone_map = HdrKindOf(frame.color_trc) != nullptr && !options_.keep_depth;
  tone_mapped_ = tone_mapped_ || tone_map;
  std::string chain;
  if (shape.deinterlace) Append(chain, "bwdif=mode=send_frame:parity=auto:deint=interlaced");
  Append(chain, DescribeScaling(shape, tone_map));
  if (tone_map) Append(chain, ToneMap(frame));
  Append(chain, DescribeFormat(shape, tone_map));
  if (options_.fps) {
    const AVRational rate = av_d2q(*options_.fps, 100'000);
    // Only the first graph fills from 0 on; a later one continues where that ended.
    const char* begin = shape_.width == 0 ? ":start_time=0" : "";
    Append(chain, fmt::format("fps=fps={}/{}{}", rate.num, rate.den, begin));
  }
  return chain;
}

void PictureFilter::Rebuild(const AVFrame& frame, const Shape& shape) {
  if (graph_) {
    graph_->filters.Push(nullptr);
    ending_ = std::move(graph_);
  }
  AVFrame like = frame;  // shallow, for its shape only
  like.sample_aspect_ratio = shape.aspect;
  graph_.emplace(
      Graph{FilterGraph::ForVideo(like, frame.time_base, Describe(frame, shape)), frame.time_base});
  shape_ = shape;
}

void PictureFilter::Push(FramePtr frame) {
  if (!frame) {
    if (graph_) graph_->filters.Push(nullptr);
    return;
  }
  TagInput(*frame);
  const Shape shape = ShapeOf(*frame);
  if (!graph_ || !shape.SameAs(shape_)) Rebuild(*frame, shape);
  graph_->filters.Push(std::move(frame));
}

// Converts the duration, which filters leave in the time base of their input; the fps filter makes
// frames of one period.
FramePtr PictureFilter::PullFrom(Graph& graph) const {
  FramePtr frame = graph.filters.Pull();
  if (!frame) return nullptr;
  frame->time_base = graph.filters.time_base();
  DurationOf(*frame) =
      options_.fps ? 1 : av_rescale_q(DurationOf(*frame), graph.in_time_base, frame->time_base);
  TagOutput(*frame);
  return frame;
}

FramePtr PictureFilter::Pull() {
  if (ending_) {
    if (FramePtr frame = PullFrom(*ending_)) return frame;
    ending_.reset();
  }
  return graph_ ? PullFrom(*graph_) : nullptr;
}

// Tags what was converted from RGB by the conversion; other pictures keep their tags.
void PictureFilter::TagOutput(AVFrame& frame) const {
  MarkProgressive(frame);
  frame.sample_aspect_ratio = {1, 1};
  if (options_.still_format != AV_PIX_FMT_NONE) return;
  frame.color_range = AVCOL_RANGE_MPEG;
  if (frame.colorspace == AVCOL_SPC_RGB || frame.colorspace == AVCOL_SPC_UNSPECIFIED) {
    const bool hd = size_->height >= kHdLines;
    frame.colorspace = hd ? AVCOL_SPC_BT709 : AVCOL_SPC_SMPTE170M;
    frame.color_primaries = hd ? AVCOL_PRI_BT709 : AVCOL_PRI_SMPTE170M;
    frame.color_trc = hd ? AVCOL_TRC_BT709 : AVCOL_TRC_SMPTE170M;
  }
}

VideoStage::VideoStage(const PictureOptions& options, FrameQueue& in, Sink<FramePtr> out,
                       std::atomic<bool>& tone_mapped)
    : filter_(options), in_(in), out_(std::move(out)), tone_mapped_(tone_mapped) {}

bool VideoStage::Drain() {
  while (FramePtr frame = filter_.Pull()) {
    if (!out_(std::move(frame))) return false;
  }
  return true;
}

void VideoStage::Run() {
  while (std::optional<FramePtr> frame = in_.Pop()) {
    const bool last = !*frame;
    filter_.Push(std::move(*frame));
    if (filter_.tone_mapped()) tone_mapped_.store(true);
    if (!Drain()) return;
    if (last) {
      out_(nullptr);
      return;
    }
  }
}

}  // namespace millrace::encode
