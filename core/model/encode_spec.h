#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/error.h"
#include "core/model/traits.h"

namespace millrace {

// Describes the outputs of a job, and the part of its input that they are made from. A spec is
// resolved and frozen at submission: it needs no preset any more, and holds every default that
// Millrace chose. Plain values.

struct VideoSpec {
  VideoCodec codec = VideoCodec::kH264;
  // The largest picture, in pixels as displayed: after rotation and sample aspect ratio. A larger
  // picture is scaled down to fit, keeping its shape; a smaller one is not scaled up.
  std::optional<int> width_px;
  std::optional<int> height_px;
  // Constant quality on the codec's own scale (h264, hevc: 0-51; vp9, av1: 0-63), or an average
  // bit rate; exactly one of the two is set unless the codec is kCopy.
  std::optional<double> crf;
  std::optional<int64_t> bitrate_bps;
  // x264's names, from "ultrafast" to "veryslow"; for other encoders the nearest of their own.
  std::string speed{kDefaultSpeed};
  // The longest distance between keyframes in seconds of media; unset leaves it to the encoder.
  std::optional<double> gop_seconds;
  // Frames per second of a constant output rate; unset keeps the timestamps of the input.
  std::optional<double> fps;

  bool operator==(const VideoSpec&) const = default;
};

struct AudioSpec {
  AudioCodec codec = AudioCodec::kAac;
  std::optional<int64_t> bitrate_bps;  // unset: the encoder's choice for the channel count
  std::optional<int> channels;         // unset: as the input, at most what the codec can carry
  std::optional<int> sample_rate_hz;   // unset: as the input, or the nearest that the codec can

  bool operator==(const AudioSpec&) const = default;
};

// Still pictures of the video: from the middle of each of `count` equal parts of its duration, or
// one at `at_seconds`.
struct ThumbnailSpec {
  int count = 1;
  ImageFormat format = ImageFormat::kJpeg;
  std::optional<int> width_px;
  std::optional<int> height_px;
  std::optional<double> at_seconds;

  bool operator==(const ThumbnailSpec&) const = default;
};

// One output: either a media file (container with video and/or audio) or thumbnails.
struct OutputSpec {
  std::string name;    // unique in the job; [A-Za-z0-9_-][A-Za-z0-9._-]{0,63}; stem of its files
  std::string preset;  // the preset it was resolved from, for people; empty: none
  std::optional<Container> container;
  std::optional<VideoSpec> video;
  std::optional<AudioSpec> audio;
  std::optional<ThumbnailSpec> thumbnails;

  bool operator==(const OutputSpec&) const = default;
};

// Limits a job to a part of the input's time line.
struct ClipSpec {
  double start_seconds = 0;
  std::optional<double> duration_seconds;

  bool operator==(const ClipSpec&) const = default;
};

struct EncodeSpec {
  std::vector<OutputSpec> outputs;
  std::optional<ClipSpec> clip;

  bool operator==(const EncodeSpec&) const = default;
};

inline constexpr size_t kMaxOutputs = 16;
inline constexpr int kMaxDimensionPx = 8192;
inline constexpr int kMaxThumbnails = 500;        // of one output
inline constexpr int kMaxThumbnailsInAll = 1000;  // of a job

// Looks up a preset by name: an output in JSON without `name`, beside it a `description`.
// Returns nullptr for an unknown name.
class PresetSource {
 public:
  virtual ~PresetSource() = default;
  virtual const nlohmann::json* Find(std::string_view name) const = 0;
};

// Reads `outputs` and `clip` of a job request, resolves presets (an output's own fields are merged
// over the preset's, RFC 7396) and fills in defaults. Appends every wrong field to `errors` with
// its JSON pointer; use the result only if nothing was appended.
EncodeSpec ParseEncodeSpec(const nlohmann::json& outputs, const nlohmann::json* clip,
                           const PresetSource& presets, std::vector<FieldError>& errors);

// The frozen form, as the ledger stores it and a worker gets it: SpecFromJson(ToJson(spec)) equals
// `spec`. SpecFromJson throws Error{kInvalidRequest} naming every wrong field.
nlohmann::json ToJson(const EncodeSpec& spec);
nlohmann::json ToJson(const OutputSpec& output);
EncodeSpec SpecFromJson(const nlohmann::json& json);

}  // namespace millrace
