#include "broker/dispatcher/encoders.h"

#include <algorithm>
#include <span>
#include <string_view>

namespace millrace::broker {
namespace {

// One bit for each codec that has to be encoded: a row of a table of traits with an encoder. Stream
// copy needs none, and those of still pictures are part of every FFmpeg.
template <typename Traits>
uint32_t BitOf(std::span<const Traits> rows, std::string_view name) {
  const auto row = std::ranges::find(rows, name, &Traits::name);
  return row == rows.end() || row->encoder == nullptr ? 0 : 1u << (row - rows.begin());
}

uint32_t VideoBit(std::string_view name) { return BitOf(AllVideoCodecs(), name); }
uint32_t AudioBit(std::string_view name) {
  return BitOf(AllAudioCodecs(), name) << AllVideoCodecs().size();
}

}  // namespace

EncoderSet EncoderSet::FromNames(const std::vector<std::string>& names) {
  EncoderSet set;
  for (const std::string& name : names) set.bits_ |= VideoBit(name) | AudioBit(name);
  return set;
}

EncoderSet EncoderSet::NeededFor(const EncodeSpec& spec) {
  EncoderSet set;
  for (const OutputSpec& output : spec.outputs) {
    if (output.video) set.bits_ |= VideoBit(NameOf(output.video->codec));
    if (output.audio) set.bits_ |= AudioBit(NameOf(output.audio->codec));
  }
  return set;
}

}  // namespace millrace::broker
