#include "transcoder/encode/input/plan.h"

#include <algorithm>
#include <set>
#include <string_view>
#include <tuple>

namespace millrace::encode {
namespace {

using enum ErrorCode;

struct Choice {
  std::optional<int> video;
  std::optional<int> audio;
  std::optional<int> cover;
};

// Returns true if both streams are in the same program. Only transport streams have several.
bool InSameProgram(const AVFormatContext& format, int stream, std::optional<int> other) {
  if (!other) return true;
  auto* mutable_format = const_cast<AVFormatContext*>(&format);
  const AVProgram* program = av_find_program_from_stream(mutable_format, nullptr, *other);
  if (program == nullptr) return true;
  return std::any_of(program->stream_index, program->stream_index + program->nb_stream_indexes,
                     [&](unsigned index) { return static_cast<int>(index) == stream; });
}

// Chooses a track as a player would: one that can be decoded, is meant for everybody and marked as
// default; among equals, the first. Never cover art. `beside` is the video track that a sound track
// belongs to.
std::optional<int> BestTrack(const AVFormatContext& format, AVMediaType kind,
                             std::optional<int> beside) {
  constexpr int kForSome = AV_DISPOSITION_HEARING_IMPAIRED | AV_DISPOSITION_VISUAL_IMPAIRED |
                           AV_DISPOSITION_COMMENT | AV_DISPOSITION_DESCRIPTIONS;
  auto rank = [&](int index) {
    const AVStream& stream = *format.streams[index];
    return std::tuple(InSameProgram(format, index, beside),
                      avcodec_find_decoder(stream.codecpar->codec_id) != nullptr,
                      (stream.disposition & kForSome) == 0,
                      (stream.disposition & AV_DISPOSITION_DEFAULT) != 0);
  };
  std::optional<int> best;
  for (int i = 0; i < static_cast<int>(format.nb_streams); ++i) {
    const AVStream& stream = *format.streams[i];
    if (stream.codecpar->codec_type != kind || IsAttachedPicture(stream)) continue;
    if (!best || rank(i) > rank(*best)) best = i;
  }
  return best;
}

std::optional<int> Cover(const AVFormatContext& format) {
  for (int i = 0; i < static_cast<int>(format.nb_streams); ++i) {
    const AVStream& stream = *format.streams[i];
    if (stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO && IsAttachedPicture(stream)) return i;
  }
  return std::nullopt;
}

Choice ChooseStreams(const InputFile& input) {
  const AVFormatContext& format = input.format();
  Choice choice{.video = BestTrack(format, AVMEDIA_TYPE_VIDEO, std::nullopt),
                .audio = {},
                .cover = Cover(format)};
  choice.audio = BestTrack(format, AVMEDIA_TYPE_AUDIO, choice.video);
  return choice;
}

nlohmann::json ContextOf(const AVStream& stream) {
  return {{"stage", "decode"},
          {"stream", stream.index},
          {"kind", av_get_media_type_string(stream.codecpar->codec_type)},
          {"codec", CodecName(*stream.codecpar)}};
}

void CheckReadable(const AVStream& stream, bool decode) {
  if (IsEncrypted(stream)) {
    throw Error(kEncryptedInput, "the input is encrypted and there is no key", ContextOf(stream));
  }
  if (decode && avcodec_find_decoder(stream.codecpar->codec_id) == nullptr) {
    throw Error(kNoDecoder, "there is no decoder for the codec " + CodecName(*stream.codecpar),
                ContextOf(stream));
  }
}

void CheckCopy(const AVStream& stream, Container container) {
  const AVOutputFormat* format = av_guess_format(TraitsOf(container).muxer, nullptr, nullptr);
  const AVCodecID codec = stream.codecpar->codec_id;
  if (format != nullptr && avformat_query_codec(format, codec, FF_COMPLIANCE_NORMAL) == 1) return;
  const std::string name(NameOf(container));
  nlohmann::json context = ContextOf(stream);
  context["stage"] = "mux";
  context["container"] = name;
  throw Error(kUnsupportedFormat,
              "the codec " + CodecName(*stream.codecpar) + " cannot be copied into " + name +
                  ": it has to be encoded",
              context);
}

void WarnMissing(Plan& plan, const OutputSpec& output, const char* code, const char* what) {
  plan.warnings.push_back(
      {.code = code, .detail = "output " + output.name + ": the input has no " + what});
}

void PlanFile(Plan& plan, const InputFile& input, const Choice& choice, const OutputSpec& output) {
  FilePlan file{.spec = &output, .video_stream = {}, .audio_stream = {}};
  if (output.video && !choice.video) WarnMissing(plan, output, "no_video", "picture");
  if (output.audio && !choice.audio) WarnMissing(plan, output, "no_audio", "sound");
  if (output.video) file.video_stream = choice.video;
  if (output.audio) file.audio_stream = choice.audio;
  if (!file.video_stream && !file.audio_stream) {
    plan.warnings.push_back(
        {.code = "output_skipped", .detail = "output " + output.name + ": nothing to put into it"});
    return;
  }
  if (file.video_stream) {
    const bool copy = output.video->codec == VideoCodec::kCopy;
    CheckReadable(input.stream(*file.video_stream), !copy);
    if (copy) CheckCopy(input.stream(*file.video_stream), *output.container);
  }
  if (file.audio_stream) {
    const bool copy = output.audio->codec == AudioCodec::kCopy;
    CheckReadable(input.stream(*file.audio_stream), !copy);
    if (copy) CheckCopy(input.stream(*file.audio_stream), *output.container);
  }
  plan.files.push_back(file);
}

void PlanThumbnails(Plan& plan, const InputFile& input, const Choice& choice,
                    const OutputSpec& output) {
  const std::optional<int> stream = choice.video ? choice.video : choice.cover;
  if (!stream) {
    WarnMissing(plan, output, "no_video", "picture to take thumbnails from");
    return;
  }
  CheckReadable(input.stream(*stream), true);
  plan.thumbnails.push_back(
      {.spec = &output, .stream = *stream, .cover_art = !choice.video.has_value()});
}

// The start of the presentation: the earliest start of the streams that are used.
int64_t StartOf(const InputFile& input, const Plan& plan) {
  std::optional<int64_t> start;
  for (const int index : plan.UsedStreams()) {
    const AVStream& stream = input.stream(index);
    if (IsAttachedPicture(stream) || stream.start_time == AV_NOPTS_VALUE) continue;
    const int64_t at = av_rescale_q(stream.start_time, stream.time_base, kMicroseconds);
    start = std::min(start.value_or(at), at);
  }
  if (!start) {
    const int64_t at = input.format().start_time;
    start = at != AV_NOPTS_VALUE ? at : 0;
  }
  // In the mov family the time line of the movie starts at 0 by definition; what lies before it is
  // priming or cut off by an edit list.
  const bool mov = std::string_view(input.format().iformat->name).starts_with("mov,");
  return mov ? std::max<int64_t>(*start, 0) : *start;
}

void PlanTime(Plan& plan, const InputFile& input, const EncodeSpec& spec) {
  plan.time.input_start = StartOf(input, plan);
  plan.time.origin = plan.time.input_start;
  plan.header_seconds = input.HeaderSeconds();
  if (!spec.clip) return;
  const auto start = static_cast<int64_t>(spec.clip->start_seconds * AV_TIME_BASE + 0.5);
  plan.time.origin += start;
  plan.time.trimmed_start = start > 0;
  if (plan.header_seconds) {
    plan.header_seconds = std::max(0.0, *plan.header_seconds - spec.clip->start_seconds);
  }
  if (!spec.clip->duration_seconds) return;
  const double asked = *spec.clip->duration_seconds;
  plan.time.clip = static_cast<int64_t>(asked * AV_TIME_BASE + 0.5);
  plan.header_seconds = std::min(plan.header_seconds.value_or(asked), asked);
}

}  // namespace

int64_t TimeLine::OriginIn(AVRational time_base) const {
  return av_rescale_q(origin, kMicroseconds, time_base);
}

std::vector<int> Plan::DecodedStreams() const {
  std::set<int> streams;
  for (const FilePlan& file : files) {
    if (file.video_stream && file.spec->video->codec != VideoCodec::kCopy) {
      streams.insert(*file.video_stream);
    }
    if (file.audio_stream && file.spec->audio->codec != AudioCodec::kCopy) {
      streams.insert(*file.audio_stream);
    }
  }
  for (const ThumbnailPlan& each : thumbnails) streams.insert(each.stream);
  return {streams.begin(), streams.end()};
}

std::vector<int> Plan::UsedStreams() const {
  const std::vector<int> decoded = DecodedStreams();
  std::set<int> streams(decoded.begin(), decoded.end());
  for (const FilePlan& file : files) {
    if (file.video_stream) streams.insert(*file.video_stream);
    if (file.audio_stream) streams.insert(*file.audio_stream);
  }
  return {streams.begin(), streams.end()};
}

Plan MakePlan(InputFile& input, const EncodeSpec& spec) {
  Plan plan;
  const Choice choice = ChooseStreams(input);
  for (const OutputSpec& output : spec.outputs) {
    if (output.thumbnails) {
      PlanThumbnails(plan, input, choice, output);
    } else {
      PlanFile(plan, input, choice, output);
    }
  }
  if (plan.files.empty() && plan.thumbnails.empty()) {
    throw Error(kNoMatchingStreams,
                choice.video   ? "the input has no sound"
                : choice.audio ? "the input has no picture"
                               : "the input has neither picture nor sound",
                {{"stage", "probe"}});
  }
  PlanTime(plan, input, spec);
  return plan;
}

}  // namespace millrace::encode
