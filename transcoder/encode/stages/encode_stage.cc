#include "transcoder/encode/stages/encode_stage.h"

#include <algorithm>
#include <cmath>

namespace millrace::encode {
namespace {

using enum ErrorCode;

// HDR's static metadata, for containers that keep it beside the stream.
void CopyHdr(const AVFrame& frame, TrackFormat& format) {
  auto copy = [&](AVFrameSideDataType from, AVPacketSideDataType to) {
    const AVFrameSideData* data = av_frame_get_side_data(&frame, from);
    if (data == nullptr) return;
    format.side_data.emplace_back(to, std::vector<uint8_t>(data->data, data->data + data->size));
  };
  copy(AV_FRAME_DATA_MASTERING_DISPLAY_METADATA, AV_PKT_DATA_MASTERING_DISPLAY_METADATA);
  copy(AV_FRAME_DATA_CONTENT_LIGHT_LEVEL, AV_PKT_DATA_CONTENT_LIGHT_LEVEL);
}

}  // namespace

EncodeStage::EncodeStage(EncoderOptions options, size_t track, FrameQueue& in, Sink<MuxItem> out,
                         EncodeTally& tally)
    : options_(std::move(options)), track_(track), in_(in), out_(std::move(out)), tally_(tally) {}

bool EncodeStage::Open(const AVFrame& first) {
  auto format = std::make_shared<TrackFormat>();
  if (video() != nullptr) {
    encoder_ = OpenVideoEncoder(first, *video());
    CopyHdr(first, *format);
    format->frame_rate = encoder_->framerate;
    tally_.width.store(first.width);
    tally_.height.store(first.height);
  } else {
    encoder_ = OpenAudioEncoder(first, std::get<AudioEncoderOptions>(options_));
  }
  format->time_base = encoder_->time_base;
  format->parameters.reset(avcodec_parameters_alloc());
  if (!format->parameters) Check(AVERROR(ENOMEM), "describe a track");
  Check(avcodec_parameters_from_context(format->parameters.get(), encoder_.get()),
        "describe a track");
  return out_({.track = track_, .format = std::move(format), .packet = nullptr});
}

bool EncodeStage::SetTime(AVFrame& frame) {
  const int64_t duration =
      av_rescale_q(std::max<int64_t>(DurationOf(frame), 0), frame.time_base, encoder_->time_base);
  frame.pts = av_rescale_q(frame.pts, frame.time_base, encoder_->time_base);
  frame.time_base = encoder_->time_base;
  if (video() == nullptr) return true;
  if (last_pts_ != AV_NOPTS_VALUE && frame.pts <= last_pts_) {
    tally_.dropped.fetch_add(1);
    return false;
  }
  last_pts_ = frame.pts;
  durations_.emplace_back(frame.pts, duration);
  return true;
}

// Forces a keyframe at each multiple of the distance, at any frame rate.
void EncodeStage::ForceKeyframes(AVFrame& frame) {
  frame.pict_type = AV_PICTURE_TYPE_NONE;
  if (video() == nullptr || !video()->spec.gop_seconds) return;
  const double seconds = ToSeconds(frame.pts, frame.time_base);
  const double distance = *video()->spec.gop_seconds;
  if (seconds + 1e-6 < static_cast<double>(next_keyframe_) * distance) return;
  frame.pict_type = AV_PICTURE_TYPE_I;
  next_keyframe_ = static_cast<int64_t>(std::floor((seconds + 1e-6) / distance)) + 1;
}

int64_t EncodeStage::TakeDuration(int64_t pts) {
  const auto found = std::ranges::find(durations_, pts, &std::pair<int64_t, int64_t>::first);
  if (found == durations_.end()) return 0;
  const int64_t duration = found->second;
  durations_.erase(found);
  return duration;
}

bool EncodeStage::Receive() {
  while (true) {
    PacketPtr packet = MakePacket();
    const int rc = avcodec_receive_packet(encoder_.get(), packet.get());
    if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) return true;
    Check(rc, "encode");
    tally_.frames_out.fetch_add(1);
    if (video() != nullptr) packet->duration = TakeDuration(packet->pts);
    if (!out_({.track = track_, .format = nullptr, .packet = std::move(packet)})) return false;
  }
}

bool EncodeStage::Encode(FramePtr frame) {
  if (frame) {
    if (!encoder_ && !Open(*frame)) return false;
    if (!SetTime(*frame)) return true;
    ForceKeyframes(*frame);
    tally_.frames_in.fetch_add(1);
  }
  Check(avcodec_send_frame(encoder_.get(), frame.get()), "encode");
  return Receive();
}

void EncodeStage::Run() {
  while (std::optional<FramePtr> frame = in_.Pop()) {
    const bool last = !*frame;
    // Without a single frame there is no encoder, and no track.
    if ((!last || encoder_) && !Encode(std::move(*frame))) return;
    if (last) {
      out_({.track = track_, .format = nullptr, .packet = nullptr});
      return;
    }
  }
}

}  // namespace millrace::encode
