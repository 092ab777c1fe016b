#include "broker/planner/cost_model.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <utility>

namespace millrace::broker {
namespace {

constexpr double kReadBytesPerSecond = 1000e6;
constexpr double kWriteBytesPerSecond = 100e6;
constexpr double kDecodePixelsPerSecond = 300e6;
constexpr double kEncodePixelsPerSecond = 60e6;  // H.264 at "medium"
constexpr double kSoundDecodeSpeed = 800;
constexpr double kSoundEncodeSpeed = 50;
constexpr double kStillSeconds = 0.05;
constexpr double kUnknownBytesPerSecond = 1e6;
constexpr double kSoundShareOfCopy = 0.1;  // of the input's bytes

constexpr auto kSpeeds = std::to_array<std::pair<std::string_view, double>>({
    {"ultrafast", 4},
    {"superfast", 3},
    {"veryfast", 2},
    {"faster", 1.5},
    {"fast", 1.2},
    {"medium", 1},
    {"slow", 0.6},
    {"slower", 0.3},
    {"veryslow", 0.15},
});

double PositiveNumber(const nlohmann::json& json, const char* key, double otherwise) {
  if (!json.is_object()) return otherwise;
  const auto found = json.find(key);
  if (found == json.end() || !found->is_number()) return otherwise;
  const double value = found->get<double>();
  return value > 0 ? value : otherwise;
}

// Returns the picture stream as probing described it; null if there is none.
nlohmann::json PictureOf(const nlohmann::json& media) {
  if (!media.is_object()) return nullptr;
  for (const nlohmann::json& stream : media.value("streams", nlohmann::json::array())) {
    if (stream.is_object() && stream.value("kind", "") == "video") return stream;
  }
  return nullptr;
}

double EncodeRate(const VideoSpec& video) {
  const auto* speed = std::ranges::find(kSpeeds, std::string_view(video.speed),
                                        &std::pair<std::string_view, double>::first);
  const double rate = kEncodePixelsPerSecond * (speed == kSpeeds.end() ? 1 : speed->second);
  switch (video.codec) {
    case VideoCodec::kHevc:
      return rate / 4;
    case VideoCodec::kVp9:
      return rate / 5;
    case VideoCodec::kAv1:
      return rate / 6;
    case VideoCodec::kCopy:
    case VideoCodec::kH264:
      break;
  }
  return rate;
}

// Returns the pixels of the output picture, which is scaled down to fit, never up.
double PixelsOf(const VideoSpec& video, const InputSize& input) {
  constexpr double kAspect = 16.0 / 9;
  double pixels = input.pixels;
  if (video.width_px) pixels = std::min(pixels, *video.width_px * (*video.width_px / kAspect));
  if (video.height_px) pixels = std::min(pixels, *video.height_px * (*video.height_px * kAspect));
  return pixels;
}

double OwnSeconds(const OutputSpec& output, const InputSize& input) {
  if (output.thumbnails) return output.thumbnails->count * kStillSeconds;
  double seconds = 0;
  if (output.video && output.video->codec == VideoCodec::kCopy) {
    seconds += input.bytes / kWriteBytesPerSecond;
  } else if (output.video) {
    const double frames = input.media_seconds * output.video->fps.value_or(input.fps);
    seconds += frames * PixelsOf(*output.video, input) / EncodeRate(*output.video);
  }
  if (output.audio && output.audio->codec == AudioCodec::kCopy) {
    seconds += input.bytes * kSoundShareOfCopy / kWriteBytesPerSecond;
  } else if (output.audio) {
    seconds += input.media_seconds / kSoundEncodeSpeed;
  }
  return seconds;
}

}  // namespace

bool DecodesPicture(const OutputSpec& output) {
  return output.thumbnails || (output.video && output.video->codec != VideoCodec::kCopy);
}

bool DecodesSound(const OutputSpec& output) {
  return output.audio && output.audio->codec != AudioCodec::kCopy;
}

std::optional<InputSize> InputSizeOf(const Job& job) {
  InputSize input;
  input.bytes = PositiveNumber(job.input_facts, "bytes", 0);
  input.media_seconds =
      PositiveNumber(job.media, "duration_seconds", input.bytes / kUnknownBytesPerSecond);
  if (job.request.spec.clip && job.request.spec.clip->duration_seconds) {
    const double clip = *job.request.spec.clip->duration_seconds;
    input.media_seconds = input.media_seconds > 0 ? std::min(clip, input.media_seconds) : clip;
  }
  if (input.media_seconds <= 0) return std::nullopt;
  const nlohmann::json picture = PictureOf(job.media);
  input.pixels = PositiveNumber(picture, "width", 1920) * PositiveNumber(picture, "height", 1080);
  input.fps = PositiveNumber(picture, "fps", input.fps);
  return input;
}

double PredictSeconds(const std::vector<OutputSpec>& outputs, const InputSize& input) {
  double seconds = input.bytes / kReadBytesPerSecond;
  if (std::ranges::any_of(outputs, DecodesPicture)) {
    seconds += input.media_seconds * input.fps * input.pixels / kDecodePixelsPerSecond;
  }
  if (std::ranges::any_of(outputs, DecodesSound)) {
    seconds += input.media_seconds / kSoundDecodeSpeed;
  }
  for (const OutputSpec& output : outputs) seconds += OwnSeconds(output, input);
  return seconds;
}

}  // namespace millrace::broker
