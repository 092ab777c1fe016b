#include "transcoder/encode/stages/decode_stage.h"

#include <algorithm>

namespace millrace::encode {
namespace {

using enum ErrorCode;

CodecPtr OpenDecoder(const AVStream& stream, const DecodeOptions& options) {
  const AVCodec* codec = avcodec_find_decoder(stream.codecpar->codec_id);
  if (codec == nullptr) {
    throw Error(kNoDecoder, "there is no decoder for the codec " + CodecName(*stream.codecpar));
  }
  CodecPtr decoder = MakeCodec(*codec);
  Check(avcodec_parameters_to_context(decoder.get(), stream.codecpar), "set up a decoder");
  decoder->pkt_timebase = stream.time_base;
  decoder->thread_count = options.threads;
  decoder->thread_type = FF_THREAD_FRAME | FF_THREAD_SLICE;
  decoder->max_pixels = options.max_pixels;
  KeepPositions(*decoder);
  Check(avcodec_open2(decoder.get(), codec, nullptr), "open the decoder", kNoDecoder);
  return decoder;
}

int64_t PeriodOf(AVRational frame_rate, AVRational time_base) {
  if (frame_rate.num <= 0 || frame_rate.den <= 0) return 0;
  return av_rescale_q(1, av_inv_q(frame_rate), time_base);
}

}  // namespace

DecodeStage::DecodeStage(const AVStream& stream, AVRational frame_rate,
                         const DecodeOptions& options, PacketQueue& in,
                         std::vector<Sink<FramePtr>> out, StreamTally& tally)
    : time_base_(stream.time_base),
      frame_duration_(PeriodOf(frame_rate, stream.time_base)),
      is_video_(stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO),
      cover_art_(options.cover_art),
      in_(in),
      out_(std::move(out)),
      tally_(tally),
      decoder_(OpenDecoder(stream, options)),
      video_gate_(options.time, stream.time_base),
      audio_gate_(options.time, stream.time_base) {}

void DecodeStage::CheckNotEncrypted(const AVPacket& packet) const {
  size_t bytes = 0;
  if (av_packet_get_side_data(&packet, AV_PKT_DATA_ENCRYPTION_INFO, &bytes) == nullptr) return;
  nlohmann::json context = {{"byte_offset", packet.pos}};
  if (packet.pts != AV_NOPTS_VALUE) context["pts_seconds"] = ToSeconds(packet.pts, time_base_);
  throw Error(kEncryptedInput, "the input is encrypted and there is no key", std::move(context));
}

void DecodeStage::Send(const AVPacket* packet) {
  const int rc = avcodec_send_packet(decoder_.get(), packet);
  if (rc >= 0 || rc == AVERROR_EOF) return;
  if (rc == AVERROR(ENOMEM)) Check(rc, "decode a packet");
  const bool timed = packet != nullptr && packet->pts != AV_NOPTS_VALUE;
  tally_.NoteError(timed ? ToSeconds(packet->pts, time_base_) : 0,
                   packet != nullptr ? packet->pos : -1, ErrorText(rc));
}

void DecodeStage::SetTime(AVFrame& frame) {
  if (cover_art_) {
    frame.pts = 0;
  } else if (frame.best_effort_timestamp != AV_NOPTS_VALUE) {
    frame.pts = frame.best_effort_timestamp;
  } else {
    frame.pts = expected_pts_ != AV_NOPTS_VALUE ? expected_pts_ : 0;
  }
  if (is_video_) {
    if (DurationOf(frame) <= 0) DurationOf(frame) = frame_duration_;
  } else if (frame.sample_rate > 0) {
    DurationOf(frame) = av_rescale_q(frame.nb_samples, {1, frame.sample_rate}, time_base_);
  }
  frame.time_base = time_base_;
  expected_pts_ = frame.pts + std::max<int64_t>(DurationOf(frame), 0);
}

bool DecodeStage::Emit(FramePtr frame) {
  if (!frame) return true;
  const int64_t end = av_rescale_q(frame->pts + std::max<int64_t>(DurationOf(*frame), 0),
                                   time_base_, kMicroseconds);
  tally_.end_us.store(std::max(tally_.end_us.load(), end));
  tally_.kept_frames.fetch_add(1);
  return FanOut(out_, std::move(frame));
}

bool DecodeStage::Receive() {
  while (true) {
    FramePtr frame = MakeFrame();
    const int rc = avcodec_receive_frame(decoder_.get(), frame.get());
    if (rc == AVERROR(EAGAIN) || rc == AVERROR_EOF) return true;
    if (rc == AVERROR(ENOMEM)) Check(rc, "decode a frame");
    if (rc < 0) {
      tally_.NoteError(expected_pts_ != AV_NOPTS_VALUE ? ToSeconds(expected_pts_, time_base_) : 0,
                       -1, ErrorText(rc));
      continue;
    }
    tally_.frames.fetch_add(1);
    SetTime(*frame);
    if (frame->decode_error_flags != 0 || (frame->flags & AV_FRAME_FLAG_CORRUPT) != 0) {
      tally_.NoteError(ToSeconds(frame->pts, time_base_), PositionOf(*frame), "a damaged frame");
    }
    if (cover_art_) {
      if (!Emit(std::move(frame))) return false;
    } else if (is_video_) {
      for (FramePtr& each : video_gate_.Pass(std::move(frame))) {
        if (!Emit(std::move(each))) return false;
      }
    } else if (!Emit(audio_gate_.Pass(std::move(frame)))) {
      return false;
    }
  }
}

bool DecodeStage::Finish() {
  Send(nullptr);
  if (!Receive()) return false;
  return Emit(video_gate_.Flush()) && FanOut(out_, FramePtr());
}

void DecodeStage::Run() {
  while (true) {
    std::optional<PacketPtr> packet = in_.Pop();
    if (!packet) return;
    if (!*packet) {
      Finish();
      return;
    }
    CheckNotEncrypted(**packet);
    NotePosition(**packet);
    Send(packet->get());
    if (!Receive()) return;
  }
}

}  // namespace millrace::encode
