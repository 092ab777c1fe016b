#include "transcoder/encode/stages/copy_route.h"

namespace millrace::encode {

CopyRoute::CopyRoute(const AVStream& stream, const TimeLine& time, size_t track, Sink<MuxItem> out)
    : origin_(time.OriginIn(stream.time_base)),
      end_(time.clip ? std::optional(av_rescale_q(*time.clip, kMicroseconds, stream.time_base))
                     : std::nullopt),
      is_video_(stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO),
      trimmed_start_(time.trimmed_start),
      reorders_(stream.codecpar->video_delay > 0),
      track_(track),
      out_(std::move(out)) {}

std::shared_ptr<TrackFormat> CopyRoute::FormatOf(const AVStream& stream) {
  auto format = std::make_shared<TrackFormat>();
  format->parameters = CopyOf(*stream.codecpar);
  format->parameters->codec_tag = 0;  // each container has its own
  if (stream.sample_aspect_ratio.num > 0) {
    format->parameters->sample_aspect_ratio = stream.sample_aspect_ratio;
  }
  format->time_base = stream.time_base;
  format->frame_rate = stream.avg_frame_rate;
  for (const AVPacketSideData& data : SideDataOf(stream)) {
    format->side_data.emplace_back(data.type,
                                   std::vector<uint8_t>(data.data, data.data + data.size));
  }
  return format;
}

bool CopyRoute::IsWanted(const AVPacket& packet) {
  if (end_ && packet.pts >= *end_) return false;
  if (begun_) return true;
  // Pictures begin with a keyframe. Sound is dropped if it ends before the start; a packet across
  // the start is kept, and containers with edit lists hide its first part.
  const bool key = (packet.flags & AV_PKT_FLAG_KEY) != 0;
  if (is_video_) return key;
  return !trimmed_start_ || packet.pts + packet.duration > 0;
}

bool CopyRoute::Take(PacketPtr packet) {
  if (!packet) return out_({.track = track_, .format = nullptr, .packet = nullptr});
  if (packet->dts == AV_NOPTS_VALUE) packet->dts = packet->pts;
  // Without reordering, both times are equal; with it, the demuxer has computed what was missing.
  if (packet->pts == AV_NOPTS_VALUE && !reorders_) packet->pts = packet->dts;
  if (packet->pts == AV_NOPTS_VALUE) return true;
  packet->pts -= origin_;
  packet->dts -= origin_;
  if (!IsWanted(*packet)) return true;
  begun_ = true;
  return out_({.track = track_, .format = nullptr, .packet = std::move(packet)});
}

}  // namespace millrace::encode
