#include <algorithm>
#include <cctype>
#include <set>

#include "core/base/fields.h"
#include "core/model/encode_spec.h"

namespace millrace {
namespace {

constexpr double kMaxSeconds = 1e7;
constexpr int64_t kMaxVideoBitrate = 400'000'000;

VideoSpec ParseVideo(const nlohmann::json& json, const std::string& pointer,
                     std::vector<FieldError>& errors) {
  Fields fields(json, pointer, errors);
  VideoSpec video;
  const VideoCodecTraits* named = fields.RowNamed("codec", AllVideoCodecs());
  if (fields.Raw("codec") == nullptr) fields.Fail("codec", "is required");
  const VideoCodecTraits& codec = named != nullptr ? *named : TraitsOf(VideoCodec::kH264);
  video.codec = codec.codec;
  video.width_px = fields.Integer("width", 2, kMaxDimensionPx);
  video.height_px = fields.Integer("height", 2, kMaxDimensionPx);
  video.crf = fields.Number("crf", 0, codec.max_crf);
  video.bitrate_bps = fields.Integer("bitrate", 1'000, kMaxVideoBitrate);
  if (const SpeedTraits* speed = fields.RowNamed("speed", AllSpeeds())) video.speed = speed->name;
  video.gop_seconds = fields.Number("gop_seconds", 0.01, 600);
  video.fps = fields.Number("fps", 0.01, 1000);
  fields.RefuseOthers();
  if (video.crf && video.bitrate_bps) fields.Fail("bitrate", "give either crf or bitrate");
  if (video.codec == VideoCodec::kCopy) {
    for (const char* key : {"width", "height", "crf", "bitrate", "gop_seconds", "fps"}) {
      if (fields.Raw(key) != nullptr) fields.Fail(key, "has no meaning with codec copy");
    }
  } else if (!video.crf && !video.bitrate_bps) {
    video.crf = codec.default_crf;
  }
  return video;
}

// "8000, 12000 or 48000"
std::string Listed(std::span<const int> numbers) {
  std::string text;
  for (const int number : numbers) {
    if (!text.empty()) text += number == numbers.back() ? " or " : ", ";
    text += std::to_string(number);
  }
  return text;
}

void CheckSampleRate(const AudioSpec& audio, Fields& fields) {
  const AudioCodecTraits& codec = TraitsOf(audio.codec);
  const auto rates = codec.sample_rates_hz;
  if (!audio.sample_rate_hz || rates.empty()) return;
  if (std::ranges::find(rates, *audio.sample_rate_hz) != rates.end()) return;
  fields.Fail("sample_rate", std::string(codec.name) + " takes " + Listed(rates));
}

AudioSpec ParseAudio(const nlohmann::json& json, const std::string& pointer,
                     std::vector<FieldError>& errors) {
  Fields fields(json, pointer, errors);
  AudioSpec audio;
  const AudioCodecTraits* named = fields.RowNamed("codec", AllAudioCodecs());
  if (fields.Raw("codec") == nullptr) fields.Fail("codec", "is required");
  const AudioCodecTraits& codec = named != nullptr ? *named : TraitsOf(AudioCodec::kAac);
  audio.codec = codec.codec;
  audio.bitrate_bps = fields.Integer("bitrate", 6'000, 1'024'000);
  if (const auto channels = fields.Integer("channels", 1, codec.max_channels)) {
    audio.channels = static_cast<int>(*channels);
  }
  if (const auto rate = fields.Integer("sample_rate", 8'000, 96'000)) {
    audio.sample_rate_hz = static_cast<int>(*rate);
  }
  fields.RefuseOthers();
  CheckSampleRate(audio, fields);
  if (audio.codec == AudioCodec::kCopy) {
    for (const char* key : {"bitrate", "channels", "sample_rate"}) {
      if (fields.Raw(key) != nullptr) fields.Fail(key, "has no meaning with codec copy");
    }
  }
  return audio;
}

ThumbnailSpec ParseThumbnails(const nlohmann::json& json, const std::string& pointer,
                              std::vector<FieldError>& errors) {
  Fields fields(json, pointer, errors);
  ThumbnailSpec thumbnails;
  thumbnails.count = static_cast<int>(fields.Integer("count", 1, kMaxThumbnails).value_or(1));
  if (const ImageFormatTraits* named = fields.RowNamed("format", AllImageFormats())) {
    thumbnails.format = named->format;
  }
  thumbnails.width_px = fields.Integer("width", 2, kMaxDimensionPx);
  thumbnails.height_px = fields.Integer("height", 2, kMaxDimensionPx);
  thumbnails.at_seconds = fields.Number("at_seconds", 0, kMaxSeconds);
  fields.RefuseOthers();
  if (thumbnails.at_seconds && thumbnails.count != 1) {
    fields.Fail("at_seconds", "takes exactly one picture: leave count out or set it to 1");
  }
  return thumbnails;
}

bool IsOutputName(std::string_view name) {
  const auto legal = [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' || c == '-' || c == '.';
  };
  return !name.empty() && name.size() <= 64 && name.front() != '.' &&
         std::ranges::all_of(name, legal);
}

void CheckShape(const OutputSpec& output, Fields& fields) {
  if (output.thumbnails) {
    if (output.container || output.video || output.audio) {
      fields.Fail("thumbnails", "an output is either thumbnails or a container with streams");
    }
    return;
  }
  if (!output.container) {
    if (fields.Raw("container") == nullptr) {
      fields.Fail("container", "is required, unless the output is thumbnails");
    }
    return;
  }
  if (!output.video && !output.audio) {
    fields.Fail("container", "needs video, audio or both to carry");
  }
  const std::string container(NameOf(*output.container));
  if (output.video && !CanCarry(*output.container, output.video->codec)) {
    fields.Fail("video", container + " cannot carry " + std::string(NameOf(output.video->codec)));
  }
  if (output.audio && !CanCarry(*output.container, output.audio->codec)) {
    fields.Fail("audio", container + " cannot carry " + std::string(NameOf(output.audio->codec)));
  }
}

OutputSpec ParseOutput(const nlohmann::json& json, const std::string& pointer,
                       std::vector<FieldError>& errors) {
  Fields fields(json, pointer, errors);
  OutputSpec output;
  if (const auto name = fields.String("name", 64)) {
    output.name = *name;
    if (!IsOutputName(*name)) {
      fields.Fail("name", "takes letters, digits, '_', '-' and '.', and does not begin with '.'");
    }
  } else if (fields.Raw("name") == nullptr) {
    fields.Fail("name", "is required");
  }
  output.preset = fields.String("preset", 64).value_or("");
  if (const ContainerTraits* named = fields.RowNamed("container", AllContainers())) {
    output.container = named->container;
  }
  if (const auto* video = fields.Raw("video")) {
    output.video = ParseVideo(*video, fields.PointerTo("video"), errors);
  }
  if (const auto* audio = fields.Raw("audio")) {
    output.audio = ParseAudio(*audio, fields.PointerTo("audio"), errors);
  }
  if (const auto* thumbnails = fields.Raw("thumbnails")) {
    output.thumbnails = ParseThumbnails(*thumbnails, fields.PointerTo("thumbnails"), errors);
  }
  fields.RefuseOthers();
  CheckShape(output, fields);
  return output;
}

ClipSpec ParseClip(const nlohmann::json& json, const std::string& pointer,
                   std::vector<FieldError>& errors) {
  Fields fields(json, pointer, errors);
  ClipSpec clip;
  clip.start_seconds = fields.Number("start_seconds", 0, kMaxSeconds).value_or(0);
  clip.duration_seconds = fields.Number("duration_seconds", 0.001, kMaxSeconds);
  fields.RefuseOthers();
  return clip;
}

// Returns the output merged over its preset. Records an error and returns nullopt if the preset is
// unknown.
std::optional<nlohmann::json> WithPreset(const nlohmann::json& output, const std::string& pointer,
                                         const PresetSource& presets,
                                         std::vector<FieldError>& errors) {
  if (!output.is_object() || !output.contains("preset") || !output["preset"].is_string()) {
    return output;
  }
  const auto& name = output["preset"].get_ref<const std::string&>();
  const nlohmann::json* preset = presets.Find(name);
  if (preset == nullptr) {
    errors.push_back({pointer + "/preset", "there is no preset '" + name + "'"});
    return std::nullopt;
  }
  nlohmann::json merged = *preset;
  merged.erase("description");
  merged.erase("name");
  merged.merge_patch(output);
  return merged;
}

void ParseOutputs(const nlohmann::json& outputs, const PresetSource& presets, EncodeSpec& spec,
                  std::vector<FieldError>& errors) {
  if (!outputs.is_array() || outputs.empty() || outputs.size() > kMaxOutputs) {
    errors.push_back(
        {"/outputs", "must be a list of 1 to " + std::to_string(kMaxOutputs) + " outputs"});
    return;
  }
  std::set<std::string> names;
  int pictures = 0;
  for (size_t i = 0; i < outputs.size(); ++i) {
    const std::string pointer = "/outputs/" + std::to_string(i);
    const auto merged = WithPreset(outputs[i], pointer, presets, errors);
    if (!merged) continue;
    spec.outputs.push_back(ParseOutput(*merged, pointer, errors));
    const std::string& name = spec.outputs.back().name;
    if (!name.empty() && !names.insert(name).second) {
      errors.push_back({pointer + "/name", "'" + name + "' is used by an earlier output"});
    }
    const auto& thumbnails = spec.outputs.back().thumbnails;
    pictures += thumbnails ? thumbnails->count : 0;
  }
  if (pictures > kMaxThumbnailsInAll) {
    errors.push_back({"/outputs", "ask for " + std::to_string(pictures) +
                                      " thumbnails; a job makes at most " +
                                      std::to_string(kMaxThumbnailsInAll)});
  }
}

// Refuses to look up presets: a frozen spec has been resolved.
class NoPresets final : public PresetSource {
 public:
  const nlohmann::json* Find(std::string_view) const override { return &empty_; }

 private:
  nlohmann::json empty_ = nlohmann::json::object();
};

template <typename T>
void PutIfSet(nlohmann::json& json, const char* key, const std::optional<T>& value) {
  if (value) json[key] = *value;
}

nlohmann::json ToJson(const VideoSpec& video) {
  nlohmann::json json = {{"codec", NameOf(video.codec)}};
  if (video.codec == VideoCodec::kCopy) return json;
  json["speed"] = video.speed;
  PutIfSet(json, "width", video.width_px);
  PutIfSet(json, "height", video.height_px);
  PutIfSet(json, "crf", video.crf);
  PutIfSet(json, "bitrate", video.bitrate_bps);
  PutIfSet(json, "gop_seconds", video.gop_seconds);
  PutIfSet(json, "fps", video.fps);
  return json;
}

nlohmann::json ToJson(const AudioSpec& audio) {
  nlohmann::json json = {{"codec", NameOf(audio.codec)}};
  PutIfSet(json, "bitrate", audio.bitrate_bps);
  PutIfSet(json, "channels", audio.channels);
  PutIfSet(json, "sample_rate", audio.sample_rate_hz);
  return json;
}

nlohmann::json ToJson(const ThumbnailSpec& thumbnails) {
  nlohmann::json json = {{"count", thumbnails.count}, {"format", NameOf(thumbnails.format)}};
  PutIfSet(json, "width", thumbnails.width_px);
  PutIfSet(json, "height", thumbnails.height_px);
  PutIfSet(json, "at_seconds", thumbnails.at_seconds);
  return json;
}

}  // namespace

EncodeSpec ParseEncodeSpec(const nlohmann::json& outputs, const nlohmann::json* clip,
                           const PresetSource& presets, std::vector<FieldError>& errors) {
  EncodeSpec spec;
  ParseOutputs(outputs, presets, spec, errors);
  if (clip != nullptr) spec.clip = ParseClip(*clip, "/clip", errors);
  return spec;
}

nlohmann::json ToJson(const OutputSpec& output) {
  nlohmann::json json = {{"name", output.name}};
  if (!output.preset.empty()) json["preset"] = output.preset;
  if (output.container) json["container"] = NameOf(*output.container);
  if (output.video) json["video"] = ToJson(*output.video);
  if (output.audio) json["audio"] = ToJson(*output.audio);
  if (output.thumbnails) json["thumbnails"] = ToJson(*output.thumbnails);
  return json;
}

nlohmann::json ToJson(const EncodeSpec& spec) {
  nlohmann::json json = {{"outputs", nlohmann::json::array()}};
  for (const OutputSpec& output : spec.outputs) json["outputs"].push_back(ToJson(output));
  if (spec.clip) {
    json["clip"] = {{"start_seconds", spec.clip->start_seconds}};
    PutIfSet(json["clip"], "duration_seconds", spec.clip->duration_seconds);
  }
  return json;
}

EncodeSpec SpecFromJson(const nlohmann::json& json) {
  std::vector<FieldError> errors;
  Fields fields(json, "", errors);
  const nlohmann::json* outputs = fields.Raw("outputs");
  const nlohmann::json* clip = fields.Raw("clip");
  fields.RefuseOthers();
  EncodeSpec spec =
      ParseEncodeSpec(outputs != nullptr ? *outputs : nlohmann::json(), clip, NoPresets(), errors);
  if (!errors.empty()) throw Error(std::move(errors));
  return spec;
}

}  // namespace millrace
