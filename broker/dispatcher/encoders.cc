#include "broker/dispatcher/encoders.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace millrace::broker {
namespace {

// The codecs that a worker may lack an encoder for, one bit each. Stream copy needs no encoder, and
// every FFmpeg can encode still pictures.
constexpr auto kVideo =
    std::to_array({VideoCodec::kH264, VideoCodec::kHevc, VideoCodec::kVp9, VideoCodec::kAv1});
constexpr auto kAudio = std::to_array({AudioCodec::kAac, AudioCodec::kOpus, AudioCodec::kMp3});

uint32_t BitOf(VideoCodec codec) {
  const auto found = std::ranges::find(kVideo, codec);
  return found == kVideo.end() ? 0 : 1u << (found - kVideo.begin());
}

uint32_t BitOf(AudioCodec codec) {
  const auto found = std::ranges::find(kAudio, codec);
  return found == kAudio.end() ? 0 : 1u << (kVideo.size() + (found - kAudio.begin()));
}

uint32_t BitOf(std::string_view name) {
  for (const VideoCodec codec : kVideo) {
    if (NameOf(codec) == name) return BitOf(codec);
  }
  for (const AudioCodec codec : kAudio) {
    if (NameOf(codec) == name) return BitOf(codec);
  }
  return 0;
}

}  // namespace

EncoderSet EncoderSet::FromNames(const std::vector<std::string>& names) {
  EncoderSet set;
  for (const std::string& name : names) set.bits_ |= BitOf(name);
  return set;
}

EncoderSet EncoderSet::NeededFor(const EncodeSpec& spec) {
  EncoderSet set;
  for (const OutputSpec& output : spec.outputs) {
    if (output.video) set.bits_ |= BitOf(output.video->codec);
    if (output.audio) set.bits_ |= BitOf(output.audio->codec);
  }
  return set;
}

}  // namespace millrace::broker
