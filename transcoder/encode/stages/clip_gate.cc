#include "transcoder/encode/stages/clip_gate.h"

#include <algorithm>

namespace millrace::encode {
namespace {

std::optional<int64_t> EndIn(const TimeLine& time, AVRational time_base) {
  if (!time.clip) return std::nullopt;
  return av_rescale_q(*time.clip, kMicroseconds, time_base);
}

// Takes samples off the front by moving the pointers: the data stays where it is.
void DropFront(AVFrame& frame, int64_t samples) {
  const auto format = static_cast<AVSampleFormat>(frame.format);
  const bool planar = av_sample_fmt_is_planar(format) != 0;
  const int planes = planar ? frame.ch_layout.nb_channels : 1;
  const int64_t step = int64_t{av_get_bytes_per_sample(format)} *
                       (planar ? 1 : frame.ch_layout.nb_channels) * samples;
  for (int i = 0; i < planes; ++i) {
    frame.extended_data[i] += step;
    if (frame.extended_data != frame.data && i < AV_NUM_DATA_POINTERS) {
      frame.data[i] = frame.extended_data[i];
    }
  }
  frame.nb_samples -= static_cast<int>(samples);
}

}  // namespace

VideoGate::VideoGate(const TimeLine& time, AVRational time_base)
    : origin_(time.OriginIn(time_base)), end_(EndIn(time, time_base)) {}

std::vector<FramePtr> VideoGate::Pass(FramePtr frame) {
  std::vector<FramePtr> through;
  frame->pts -= origin_;
  if (frame->pts < 0) {
    // A frame of unknown duration lasts until the next one.
    reaches_start_ = DurationOf(*frame) <= 0 || frame->pts + DurationOf(*frame) > 0;
    frame->pts = 0;
    held_ = begun_ ? nullptr : std::move(frame);
    return through;
  }
  if (held_ && frame->pts > 0) through.push_back(std::move(held_));
  held_.reset();
  begun_ = true;
  if (end_ && frame->pts >= *end_) return through;
  if (end_ && DurationOf(*frame) > 0) {
    DurationOf(*frame) = std::min(DurationOf(*frame), *end_ - frame->pts);
  }
  through.push_back(std::move(frame));
  return through;
}

FramePtr VideoGate::Flush() { return begun_ || !reaches_start_ ? nullptr : std::move(held_); }

AudioGate::AudioGate(const TimeLine& time, AVRational time_base)
    : origin_(time.OriginIn(time_base)), end_(EndIn(time, time_base)), time_base_(time_base) {}

FramePtr AudioGate::Pass(FramePtr frame) {
  frame->pts -= origin_;
  const AVRational samples{1, frame->sample_rate};
  const int64_t begin = av_rescale_q(frame->pts, time_base_, samples);
  if (end_) {
    const int64_t room = av_rescale_q(*end_, time_base_, samples) - begin;
    if (room <= 0) return nullptr;
    frame->nb_samples = static_cast<int>(std::min<int64_t>(frame->nb_samples, room));
  }
  if (begin < 0) {
    if (-begin >= frame->nb_samples) return nullptr;
    DropFront(*frame, -begin);
    frame->pts = 0;
  }
  return frame;
}

}  // namespace millrace::encode
