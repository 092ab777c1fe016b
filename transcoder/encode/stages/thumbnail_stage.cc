#include "transcoder/encode/stages/thumbnail_stage.h"

#include <fmt/format.h>

#include <limits>

#include "transcoder/encode/base/file_io.h"

namespace millrace::encode {
namespace {

PictureOptions PictureFor(const ThumbnailOptions& options) {
  PictureOptions picture = options.picture;
  picture.max_width_px = options.spec.width_px;
  picture.max_height_px = options.spec.height_px;
  picture.fps.reset();
  picture.keep_depth = false;
  picture.still_format =
      options.spec.format == ImageFormat::kJpeg ? AV_PIX_FMT_YUVJ420P : AV_PIX_FMT_RGB24;
  return picture;
}

// JPEG's quantiser scale, 2 (best) to 31.
constexpr int kJpegScale = 3;

PacketPtr EncodeStill(const AVFrame& picture, ImageFormat format) {
  const AVCodec* encoder = avcodec_find_encoder_by_name(TraitsOf(format).encoder);
  if (encoder == nullptr) {
    throw Error(ErrorCode::kEncoderUnavailable, "the encoder for still pictures is not built in");
  }
  CodecPtr codec = MakeCodec(*encoder);
  codec->width = picture.width;
  codec->height = picture.height;
  codec->pix_fmt = static_cast<AVPixelFormat>(picture.format);
  codec->color_range = picture.color_range;
  codec->time_base = {1, 25};
  codec->flags |= AV_CODEC_FLAG_BITEXACT | AV_CODEC_FLAG_QSCALE;
  codec->global_quality = kJpegScale * FF_QP2LAMBDA;
  Check(avcodec_open2(codec.get(), encoder, nullptr), "open the encoder for a still picture");
  FramePtr frame = Share(picture);
  frame->pts = 0;
  frame->quality = codec->global_quality;
  frame->pict_type = AV_PICTURE_TYPE_NONE;
  Check(avcodec_send_frame(codec.get(), frame.get()), "encode a still picture");
  Check(avcodec_send_frame(codec.get(), nullptr), "encode a still picture");
  PacketPtr packet = MakePacket();
  Check(avcodec_receive_packet(codec.get(), packet.get()), "encode a still picture");
  return packet;
}

}  // namespace

std::vector<double> ThumbnailTimes(const ThumbnailSpec& spec,
                                   std::optional<double> planned_seconds) {
  if (spec.at_seconds) return {*spec.at_seconds};
  constexpr double kNever = std::numeric_limits<double>::infinity();
  std::vector<double> times;
  times.reserve(static_cast<size_t>(spec.count));
  for (int i = 0; i < spec.count; ++i) {
    times.push_back(planned_seconds ? *planned_seconds * (i + 0.5) / spec.count : kNever);
  }
  return times;
}

ThumbnailStage::ThumbnailStage(ThumbnailOptions options, FrameQueue& in, ThumbnailTally& tally)
    : options_(std::move(options)),
      in_(in),
      tally_(tally),
      times_(options_.cover_art ? std::vector<double>{0}
                                : ThumbnailTimes(options_.spec, options_.planned_seconds)) {}

std::string ThumbnailStage::NextName() const {
  const std::string_view extension = TraitsOf(options_.spec.format).extension;
  if (options_.spec.count == 1) return fmt::format("{}.{}", options_.name, extension);
  return fmt::format("{}-{:03}.{}", options_.name, tally_.files.size() + 1, extension);
}

void ThumbnailStage::Make(const AVFrame& frame) {
  PictureFilter filter(PictureFor(options_));
  filter.Push(Share(frame));
  filter.Push(nullptr);
  const FramePtr picture = filter.Pull();
  if (!picture) {
    throw Error(ErrorCode::kEncodeFailed, "a still picture could not be scaled",
                {{"stage", "filter"}});
  }
  const PacketPtr packet = EncodeStill(*picture, options_.spec.format);
  const std::string name = NextName();
  WriteWholeFile(options_.directory + "/" + name, packet->data, static_cast<size_t>(packet->size));
  tally_.files.push_back({.path = name,
                          .width = picture->width,
                          .height = picture->height,
                          .at_seconds = ToSeconds(frame.pts, frame.time_base)});
}

void ThumbnailStage::See(FramePtr frame) {
  const double seconds = ToSeconds(frame->pts, frame->time_base);
  tally_.reached_us.store(static_cast<int64_t>(seconds * AV_TIME_BASE));
  while (tally_.files.size() < times_.size() && seconds > times_[tally_.files.size()]) {
    Make(latest_ ? *latest_ : *frame);
  }
  latest_ = std::move(frame);
}

void ThumbnailStage::Run() {
  while (std::optional<FramePtr> frame = in_.Pop()) {
    if (*frame) {
      if (tally_.files.size() < times_.size()) See(std::move(*frame));
      continue;
    }
    while (latest_ && tally_.files.size() < times_.size()) Make(*latest_);
    return;
  }
}

}  // namespace millrace::encode
