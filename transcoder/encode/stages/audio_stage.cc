#include "transcoder/encode/stages/audio_stage.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>

#include "transcoder/encode/stages/encoders.h"

namespace millrace::encode {
namespace {

// The drift at which silence is put in or samples are taken out: too little to be heard against the
// picture, more than any container rounds.
constexpr double kToleratedDriftSeconds = 0.03;

int NearestRate(const AVCodec& encoder, int wanted) {
  const std::span<const int> rates = SampleRatesOf(encoder);
  if (rates.empty()) return wanted;
  int best = rates.front();
  for (const int each : rates) {
    const int distance = std::abs(each - wanted);
    const int best_distance = std::abs(best - wanted);
    // Of two equally near rates, take the higher, which loses nothing.
    if (distance < best_distance || (distance == best_distance && each > best)) best = each;
  }
  return best;
}

ChannelLayout LayoutFor(const AVCodec& encoder, const ChannelLayout& input, int channels) {
  const std::span<const AVChannelLayout> layouts = ChannelLayoutsOf(encoder);
  for (const AVChannelLayout& each : layouts) {
    if (av_channel_layout_compare(&each, &input.get()) == 0) return input;
  }
  return channels == input.channels() && layouts.empty() ? input : ChannelLayout(channels);
}

}  // namespace

AudioStage::AudioStage(const AudioSpec& spec, FrameQueue& in, Sink<FramePtr> out)
    : spec_(spec), encoder_(FindEncoder(spec.codec)), in_(in), out_(std::move(out)) {}

void AudioStage::ChooseOutput(const AVFrame& first) {
  rate_ = NearestRate(encoder_, spec_.sample_rate_hz.value_or(first.sample_rate));
  const ChannelLayout input(first.ch_layout);
  const int channels =
      std::min(spec_.channels.value_or(input.channels()), TraitsOf(spec_.codec).max_channels);
  layout_ =
      channels == input.channels() ? LayoutFor(encoder_, input, channels) : ChannelLayout(channels);
}

void AudioStage::Rebuild(const AVFrame& frame) {
  if (graph_) {
    graph_->Push(nullptr);
    Drain();
  }
  if (rate_ == 0) ChooseOutput(frame);
  // first_pts makes the track start at 0; async puts in silence for what is missing.
  const char* begin = shape_.rate == 0 ? ":first_pts=0" : "";
  const AVSampleFormat format = PreferredSampleFormat(encoder_);
  graph_.emplace(FilterGraph::ForAudio(
      frame, frame.time_base,
      fmt::format("aresample=async=1:min_hard_comp={}{}:osr={}:ochl={}:osf={},"
                  "aformat=sample_fmts={}:sample_rates={}:channel_layouts={}",
                  kToleratedDriftSeconds, begin, rate_, layout_.Name(),
                  av_get_sample_fmt_name(format), av_get_sample_fmt_name(format), rate_,
                  layout_.Name())));
  if ((encoder_.capabilities & AV_CODEC_CAP_VARIABLE_FRAME_SIZE) == 0) {
    graph_->SetFrameSize(FrameSizeOf(encoder_, rate_));
  }
  shape_ = {
      .rate = frame.sample_rate, .format = frame.format, .layout = ChannelLayout(frame.ch_layout)};
}

void AudioStage::Push(FramePtr frame) {
  if (!frame) {
    if (graph_) graph_->Push(nullptr);
    return;
  }
  if (frame->ch_layout.order == AV_CHANNEL_ORDER_UNSPEC) {
    av_channel_layout_default(&frame->ch_layout, frame->ch_layout.nb_channels);
  }
  // Counts time in samples, so that nothing is lost to a coarse time base.
  const AVRational samples{1, frame->sample_rate};
  frame->pts = av_rescale_q(frame->pts, frame->time_base, samples);
  DurationOf(*frame) = frame->nb_samples;
  frame->time_base = samples;
  if (!graph_ || frame->sample_rate != shape_.rate || frame->format != shape_.format ||
      av_channel_layout_compare(&frame->ch_layout, &shape_.layout.get()) != 0) {
    Rebuild(*frame);
  }
  graph_->Push(std::move(frame));
}

bool AudioStage::Drain() {
  if (!graph_) return true;
  while (FramePtr frame = graph_->Pull()) {
    frame->time_base = graph_->time_base();
    if (!out_(std::move(frame))) return false;
  }
  return true;
}

void AudioStage::Run() {
  while (std::optional<FramePtr> frame = in_.Pop()) {
    const bool last = !*frame;
    Push(std::move(*frame));
    if (!Drain()) return;
    if (last) {
      out_(nullptr);
      return;
    }
  }
}

}  // namespace millrace::encode
