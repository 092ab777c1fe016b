#include "transcoder/encode/verdict.h"

#include <fmt/format.h>

#include <algorithm>

namespace millrace::encode {
namespace {

using enum ErrorCode;

// A header may promise this much more than the media without a loss.
constexpr double kShortfallShare = 0.05;
constexpr double kShortfallSeconds = 1;

nlohmann::json ContextOf(const AVStream& stream, const StreamTally& tally,
                         const FfmpegComplaints& complaints) {
  nlohmann::json context = {{"stage", "decode"},
                            {"stream", stream.index},
                            {"codec", CodecName(*stream.codecpar)},
                            {"packets", tally.packets.load()}};
  // Prefers the decoder's last complaint: the last of all may come from anywhere by now.
  const std::string& said =
      complaints.last_decoder_error.empty() ? complaints.last_error : complaints.last_decoder_error;
  if (!said.empty()) context["ffmpeg"] = said;
  if (const auto first = tally.first_error()) {
    context["pts_seconds"] = first->pts_seconds;
    if (first->byte_offset >= 0) context["byte_offset"] = first->byte_offset;
  }
  return context;
}

bool HasEncryptionData(const AVStream& stream) {
  return !FindSideData(stream, AV_PKT_DATA_ENCRYPTION_INIT_INFO).empty();
}

const char* KindOf(const AVStream& stream) {
  return stream.codecpar->codec_type == AVMEDIA_TYPE_VIDEO ? "picture" : "sound";
}

void JudgeStream(const Pipeline& pipeline, const InputFile& input, int index,
                 const FfmpegComplaints& complaints, std::vector<Warning>& warnings) {
  const AVStream& stream = input.stream(index);
  const StreamTally& tally = pipeline.tally(index);
  const nlohmann::json context = ContextOf(stream, tally, complaints);
  const int64_t packets = tally.packets.load();
  const int64_t frames = tally.frames.load();
  if (packets == 0) {
    warnings.push_back(
        {.code = "empty_stream",
         .detail = fmt::format("stream {} ({}) has no data in it", index, KindOf(stream))});
    return;
  }
  if (frames == 0) {
    if (HasEncryptionData(stream)) {
      throw Error(kEncryptedInput, "the input is encrypted and there is no key", context);
    }
    throw Error(kCorruptMedia,
                fmt::format("none of the {} packets of stream {} ({}, {}) could be decoded",
                            packets, index, KindOf(stream), CodecName(*stream.codecpar)),
                context);
  }
  const int64_t errors = tally.decode_errors.load();
  if (const auto first = tally.first_error()) {
    warnings.push_back(
        {.code = "decode_errors",
         .detail =
             fmt::format("stream {} ({}): {} damaged packets or frames beside {} good ones, "
                         "the first at {:.3f} s ({})",
                         index, KindOf(stream), errors, frames, first->pts_seconds, first->what)});
  }
}

double SecondsMade(const Pipeline& pipeline, const Plan& plan) {
  int64_t end_us = 0;
  for (const int stream : plan.DecodedStreams()) {
    end_us = std::max(end_us, pipeline.tally(stream).end_us.load());
  }
  for (const FileResult& file : pipeline.files()) {
    end_us = std::max(end_us, file.tally->end_us.load());
  }
  return ToSeconds(end_us, kMicroseconds);
}

// Headers lie, so a short output alone proves no loss: there must be a sign of damage as well.
// Without one the difference is only a warning.
void JudgeLength(const Pipeline& pipeline, const Plan& plan, const InputFile& input,
                 const FfmpegComplaints& complaints, std::vector<Warning>& warnings) {
  if (!plan.header_seconds) return;
  const double promised = *plan.header_seconds;
  const double made = SecondsMade(pipeline, plan);
  if (made + std::max(kShortfallSeconds, promised * kShortfallShare) >= promised) return;
  int64_t corrupt = 0;
  int64_t frames = 0;
  for (const int stream : plan.UsedStreams()) {
    const StreamTally& tally = pipeline.tally(stream);
    const bool video = input.stream(stream).codecpar->codec_type == AVMEDIA_TYPE_VIDEO;
    corrupt += tally.corrupt_packets.load();
    if (video) frames = std::max({frames, tally.frames.load()});
  }
  const int64_t missing = input.MissingBytes();
  const bool damaged = missing > 0 || corrupt > 0 || complaints.demuxer_errors > 0 ||
                       pipeline.input_tally().cut_off.load();
  if (!damaged) {
    warnings.push_back(
        {.code = "duration_differs",
         .detail = fmt::format("the header promises {:.1f} s, the streams used hold {:.1f} s",
                               promised, made)});
    return;
  }
  std::string detail = fmt::format("{:.1f} s of {:.1f} s could be read", made, promised);
  if (frames > 0)
    detail = fmt::format("{} frames ({:.1f} s) of {:.1f} s could be read", frames, made, promised);
  if (missing > 0) detail += fmt::format("; the file ends {} bytes too early", missing);
  warnings.push_back({.code = "input_truncated", .detail = detail});
}

bool AnythingMade(const Pipeline& pipeline) {
  return std::ranges::any_of(pipeline.files(),
                             [](const FileResult& file) { return file.tally->made.load(); }) ||
         std::ranges::any_of(pipeline.thumbnails(),
                             [](const ThumbnailResult& each) { return !each.tally.files.empty(); });
}

void WarnOfOutputs(const Pipeline& pipeline, std::vector<Warning>& warnings) {
  for (const FileResult& file : pipeline.files()) {
    const std::string& name = file.plan->spec->name;
    if (!file.tally->made.load()) {
      warnings.push_back(
          {.code = "output_skipped", .detail = "output " + name + ": nothing to put into it"});
    }
    if (file.tone_mapped.load()) {
      warnings.push_back({.code = "hdr_tone_mapped",
                          .detail = "output " + name +
                                    ": HDR was converted to SDR (BT.709), the codec has 8 bits"});
    }
  }
  for (const ThumbnailResult& each : pipeline.thumbnails()) {
    if (each.tally.files.empty()) {
      warnings.push_back({.code = "output_skipped",
                          .detail = "output " + each.plan->spec->name + ": there was no picture"});
    }
  }
}

}  // namespace

std::vector<Warning> Judge(const Pipeline& pipeline, const Plan& plan, const InputFile& input,
                           const FfmpegComplaints& complaints) {
  std::vector<Warning> warnings = plan.warnings;
  for (const int stream : plan.DecodedStreams()) {
    JudgeStream(pipeline, input, stream, complaints, warnings);
  }
  if (!AnythingMade(pipeline)) {
    if (plan.time.trimmed_start) {
      throw Error(kNoMatchingStreams, "the clip lies behind the end of the input",
                  {{"stage", "verify"}});
    }
    const int first = plan.UsedStreams().front();
    throw Error(kCorruptMedia, "the input's streams have no data in them",
                {{"stage", "demux"},
                 {"stream", first},
                 {"codec", CodecName(*input.stream(first).codecpar)}});
  }
  JudgeLength(pipeline, plan, input, complaints, warnings);
  WarnOfOutputs(pipeline, warnings);
  return warnings;
}

}  // namespace millrace::encode
