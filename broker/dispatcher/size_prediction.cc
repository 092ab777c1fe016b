#include "broker/dispatcher/size_prediction.h"

#include <algorithm>
#include <optional>

namespace millrace::broker {
namespace {

constexpr int64_t kVideoBitsPerSecond = 40'000'000;  // of any picture at any sane quality
constexpr int64_t kAudioBitsPerSecond = 512'000;
constexpr int64_t kLosslessAudioBitsPerSecond = 10'000'000;  // a copied stream may be lossless
constexpr int64_t kAudioBytes = 64 << 20;                    // where nothing tells the duration
constexpr int64_t kThumbnailBytes = 512 << 10;

struct InputSize {
  int64_t bytes = 0;
  std::optional<double> seconds;  // of media that are used
};

std::optional<double> PositiveNumber(const nlohmann::json& json, const char* key) {
  if (!json.is_object()) return std::nullopt;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) return std::nullopt;
  const double value = found->get<double>();
  return value > 0 ? std::optional(value) : std::nullopt;
}

InputSize SizeOf(const Job& job) {
  InputSize input;
  // Facts come from outside and may be any number.
  constexpr double kMost = int64_t{1} << 50;
  const double bytes = PositiveNumber(job.input_facts, "bytes").value_or(0);
  input.bytes = static_cast<int64_t>(std::min(bytes, kMost));
  input.seconds = PositiveNumber(job.media, "duration_seconds");
  if (job.request.spec.clip && job.request.spec.clip->duration_seconds) {
    const double clip = *job.request.spec.clip->duration_seconds;
    input.seconds = std::min(clip, input.seconds.value_or(clip));
  }
  return input;
}

int64_t BytesAt(int64_t bits_per_second, double seconds) {
  constexpr double kMost = int64_t{1} << 50;
  return static_cast<int64_t>(std::min(static_cast<double>(bits_per_second) / 8 * seconds, kMost));
}

int64_t VideoBytes(const VideoSpec& video, const InputSize& input) {
  if (video.codec == VideoCodec::kCopy || !input.seconds) return input.bytes;
  if (video.bitrate_bps) return BytesAt(*video.bitrate_bps, *input.seconds);
  return std::min(input.bytes, BytesAt(kVideoBitsPerSecond, *input.seconds));
}

int64_t AudioBytes(const AudioSpec& audio, const InputSize& input) {
  const bool copy = audio.codec == AudioCodec::kCopy;
  if (!input.seconds) return copy ? input.bytes : std::min(input.bytes, kAudioBytes);
  if (copy) return std::min(input.bytes, BytesAt(kLosslessAudioBitsPerSecond, *input.seconds));
  return BytesAt(audio.bitrate_bps.value_or(kAudioBitsPerSecond), *input.seconds);
}

int64_t OutputBytes(const OutputSpec& output, const InputSize& input) {
  if (output.thumbnails) return output.thumbnails->count * kThumbnailBytes;
  const bool copies_all = output.video && output.video->codec == VideoCodec::kCopy &&
                          output.audio && output.audio->codec == AudioCodec::kCopy;
  if (copies_all) return input.bytes;
  int64_t bytes = 0;
  if (output.video) bytes += VideoBytes(*output.video, input);
  if (output.audio) bytes += AudioBytes(*output.audio, input);
  return bytes;
}

}  // namespace

int64_t PredictOutputBytes(const Job& job) {
  const InputSize input = SizeOf(job);
  int64_t bytes = 0;
  for (const OutputSpec& output : job.request.spec.outputs) bytes += OutputBytes(output, input);
  return bytes;
}

}  // namespace millrace::broker
