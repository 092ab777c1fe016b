#include "transcoder/encode/stages/demux_stage.h"

#include <algorithm>
#include <cstring>

namespace millrace::encode {
namespace {

using enum ErrorCode;

// Limits errors in a row: a demuxer may recover after damage, and must not loop for ever.
constexpr int kMaxErrorsInARow = 64;
// Sound is decoded from a little before the cut, to be right at the cut (Opus asks for 80 ms).
constexpr int64_t kPrerollUs = 200'000;
// Seeking without an index is inexact.
constexpr int64_t kUnindexedPrerollUs = 5'000'000;
// How far a stream is read past the clip's end before the rest is given up: more than reordering
// and interleaving need.
constexpr int64_t kBehindClipUs = 500'000;
constexpr int64_t kFarBehindClipUs = 10'000'000;
constexpr int64_t kJumpUs = 10'000'000;

bool HasNoIndex(const AVFormatContext& format) {
  return (format.iformat->flags & AVFMT_TS_DISCONT) != 0;
}

}  // namespace

DemuxStage::DemuxStage(InputFile& input, const TimeLine& time, std::vector<Route> routes,
                       InputTally& tally)
    : input_(input),
      time_(time),
      tally_(tally),
      mends_jumps_((input.format().iformat->flags & AVFMT_TS_DISCONT) != 0) {
  for (Route& route : routes) routes_.emplace(route.stream, std::move(route));
  AVFormatContext& format = input_.format();
  for (unsigned i = 0; i < format.nb_streams; ++i) {
    const bool used = routes_.contains(static_cast<int>(i));
    format.streams[i]->discard = used ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
  }
}

void DemuxStage::SeekToClip() {
  if (!time_.trimmed_start) return;
  AVFormatContext& format = input_.format();
  const int64_t preroll = HasNoIndex(format) ? kUnindexedPrerollUs : kPrerollUs;
  const int64_t target = std::max(time_.input_start, time_.origin - preroll);
  // Where seeking fails everything is read, and dropped until the clip starts.
  if (avformat_seek_file(&format, -1, INT64_MIN, target, target, 0) < 0) {
    av_log(&format, AV_LOG_WARNING, "cannot seek; reading from the start\n");
  }
}

bool DemuxStage::Read(AVPacket& packet) {
  while (true) {
    const int rc = av_read_frame(&input_.format(), &packet);
    if (rc >= 0) {
      errors_in_a_row_ = 0;
      return true;
    }
    if (input_.io().error() != 0) {
      throw Error(kInputUnreadable,
                  std::string("the input cannot be read: ") + std::strerror(input_.io().error()),
                  {{"errno", input_.io().error()}, {"byte_offset", input_.io().position()}});
    }
    if (rc == AVERROR_EOF || rc == AVERROR_EXIT) return false;
    if (rc == AVERROR(ENOMEM)) {
      throw Error(kOutOfMemory, "read a packet: " + ErrorText(rc),
                  {{"byte_offset", input_.io().position()}});
    }
    if (rc != AVERROR(EAGAIN)) tally_.cut_off.store(true);
    if (++errors_in_a_row_ > kMaxErrorsInARow) return false;
  }
}

// Closes jumps of time, which transport streams may have. All packets after a jump move by the same
// amount, so that the streams stay in step.
void DemuxStage::MendJump(AVPacket& packet) {
  if (!mends_jumps_ || packet.dts == AV_NOPTS_VALUE) return;
  const AVRational time_base = input_.stream(packet.stream_index).time_base;
  int64_t dts = av_rescale_q(packet.dts, time_base, kMicroseconds) + jump_us_;
  const auto expected = next_.find(packet.stream_index);
  if (expected != next_.end() && std::abs(dts - expected->second) > kJumpUs) {
    jump_us_ += expected->second - dts;
    dts = expected->second;
  }
  const int64_t duration = av_rescale_q(packet.duration, time_base, kMicroseconds);
  next_[packet.stream_index] = dts + std::max<int64_t>(duration, 0);
  const int64_t jump = av_rescale_q(jump_us_, kMicroseconds, time_base);
  packet.dts += jump;
  if (packet.pts != AV_NOPTS_VALUE) packet.pts += jump;
}

void DemuxStage::NoteTime(const Route& route, const AVPacket& packet) {
  const int64_t at = packet.dts != AV_NOPTS_VALUE ? packet.dts : packet.pts;
  const AVStream& stream = input_.stream(route.stream);
  if (at == AV_NOPTS_VALUE || IsAttachedPicture(stream)) return;
  const int64_t us = av_rescale_q(at, stream.time_base, kMicroseconds) - time_.origin;
  reached_us_[route.stream] = us;
  const int64_t end = us + av_rescale_q(packet.duration, stream.time_base, kMicroseconds);
  tally_.demuxed_us.store(std::max(tally_.demuxed_us.load(), end));
}

bool DemuxStage::AllBehindClip() const {
  if (!time_.clip) return false;
  bool all = true;
  for (const auto& [index, route] : routes_) {
    if (IsAttachedPicture(input_.stream(index))) continue;
    const auto reached = reached_us_.find(index);
    if (reached != reached_us_.end() && reached->second > *time_.clip + kFarBehindClipUs) {
      return true;
    }
    all = all && reached != reached_us_.end() && reached->second > *time_.clip + kBehindClipUs;
  }
  return all;
}

bool DemuxStage::Deliver(Route& route, PacketPtr packet) {
  if (packet) {
    route.tally->packets.fetch_add(1);
    if ((packet->flags & AV_PKT_FLAG_CORRUPT) != 0) route.tally->corrupt_packets.fetch_add(1);
  }
  return FanOut(route.sinks, std::move(packet));
}

void DemuxStage::Run() {
  SeekToClip();
  while (!AllBehindClip()) {
    PacketPtr packet = MakePacket();
    if (!Read(*packet)) break;
    const auto route = routes_.find(packet->stream_index);
    if (route == routes_.end()) continue;
    // Drops empty packets: a decoder would take one for the flush.
    if (packet->size == 0 && packet->side_data_elems == 0) continue;
    MendJump(*packet);
    NoteTime(route->second, *packet);
    if (!Deliver(route->second, std::move(packet))) return;
  }
  tally_.finished.store(true);
  for (auto& [index, route] : routes_) {
    if (!Deliver(route, nullptr)) return;
  }
}

}  // namespace millrace::encode
