#include "broker/dispatcher_encoders.h"

#include <algorithm>
#include <array>
#include <string_view>

namespace millrace {
namespace {

// FFmpeg's names of the encoders that millrace-encode uses. Stream copy needs none, and the
// encoders of still pictures are part of every FFmpeg.
constexpr auto kNames = std::to_array<std::string_view>(
    {"libx264", "libx265", "libvpx-vp9", "libsvtav1", "aac", "libopus", "libmp3lame"});

constexpr uint32_t BitOf(std::string_view name) {
  const auto found = std::find(kNames.begin(), kNames.end(), name);
  return found == kNames.end() ? 0 : 1u << (found - kNames.begin());
}

uint32_t BitOf(VideoCodec codec) {
  switch (codec) {
    case VideoCodec::kCopy:
      return 0;
    case VideoCodec::kH264:
      return BitOf("libx264");
    case VideoCodec::kHevc:
      return BitOf("libx265");
    case VideoCodec::kVp9:
      return BitOf("libvpx-vp9");
    case VideoCodec::kAv1:
      return BitOf("libsvtav1");
  }
  return 0;
}

uint32_t BitOf(AudioCodec codec) {
  switch (codec) {
    case AudioCodec::kCopy:
      return 0;
    case AudioCodec::kAac:
      return BitOf("aac");
    case AudioCodec::kOpus:
      return BitOf("libopus");
    case AudioCodec::kMp3:
      return BitOf("libmp3lame");
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

}  // namespace millrace
