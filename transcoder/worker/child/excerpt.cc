#include "transcoder/worker/child/excerpt.h"

#include <cmath>

namespace millrace::worker {
namespace {

// The longest duration that is believed.
constexpr double kMaxSeconds = 1e9;

std::optional<double> SecondsIn(const nlohmann::json& context, const char* key) {
  const auto found = context.find(key);
  if (found == context.end() || !found->is_number()) return std::nullopt;
  const auto seconds = found->get<double>();
  if (!std::isfinite(seconds) || std::abs(seconds) > kMaxSeconds) return std::nullopt;
  return seconds;
}

bool MayBeTheMedia(RetryClass retry) {
  return retry == RetryClass::kPermanent || retry == RetryClass::kUnknown ||
         retry == RetryClass::kCrash;
}

}  // namespace

std::optional<ExcerptSpec> ExcerptFor(const Error& error, const EncodeSpec& spec,
                                      int64_t input_bytes) {
  if (input_bytes < kMinExcerptInputBytes || !MayBeTheMedia(error.traits().retry)) {
    return std::nullopt;
  }
  if (const auto pts = SecondsIn(error.context(), "pts_seconds")) {
    return ExcerptSpec{.pts_seconds = pts, .media_seconds = {}};
  }
  const auto media = SecondsIn(error.context(), "media_seconds");
  if (!media) return std::nullopt;
  // Adds the start of the clip, from which the encoder counts.
  const double clip_start = spec.clip ? spec.clip->start_seconds : 0;
  return ExcerptSpec{.pts_seconds = {}, .media_seconds = clip_start + *media};
}

}  // namespace millrace::worker
