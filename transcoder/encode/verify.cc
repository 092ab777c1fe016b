#include "transcoder/encode/verify.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <memory>

#include "core/base/sha256.h"
#include "transcoder/encode/input/media_facts.h"

namespace millrace::encode {
namespace {

using nlohmann::json;

// The result of counting the packets of a track.
struct Counted {
  int64_t packets = 0;
  double begin = 0;
  double end = 0;  // seconds
};

[[noreturn]] void ThrowMismatch(const FilePlan& plan, const std::string& what, json context) {
  context["stage"] = "verify";
  context["output"] = plan.spec->name;
  throw Error(ErrorCode::kTruncatedOutput, "output " + plan.spec->name + ": " + what,
              std::move(context));
}

// Reads mov's index, which has everything; in other formats counts the packets.
std::vector<Counted> Count(InputFile& file) {
  std::vector<Counted> counted(file.format().nb_streams);
  bool indexed = true;
  for (size_t i = 0; i < counted.size(); ++i) {
    counted[i].packets = file.IndexedFrames(static_cast<int>(i));
    indexed = indexed && counted[i].packets > 0;
  }
  if (indexed) return counted;
  counted.assign(counted.size(), {});
  const PacketPtr packet = MakePacket();
  while (av_read_frame(&file.format(), packet.get()) >= 0) {
    const auto index = static_cast<size_t>(packet->stream_index);
    if (index < counted.size()) {
      Counted& each = counted[index];
      const AVRational base = file.stream(packet->stream_index).time_base;
      const double at = packet->pts != AV_NOPTS_VALUE ? ToSeconds(packet->pts, base) : 0;
      each.begin = each.packets == 0 ? at : std::min(each.begin, at);
      each.end = std::max(each.end, at + ToSeconds(packet->duration, base));
      ++each.packets;
    }
    av_packet_unref(packet.get());
  }
  return counted;
}

json VideoFacts(const InputFile& file, int index, const Counted& counted) {
  const AVStream& stream = file.stream(index);
  const AVCodecParameters& codec = *stream.codecpar;
  auto text = [](const char* name) { return name != nullptr ? json(name) : json(); };
  json facts = {
      {"codec", CodecName(codec)},
      {"width", codec.width},
      {"height", codec.height},
      {"frames", counted.packets},
      {"pixel_format", text(av_get_pix_fmt_name(static_cast<AVPixelFormat>(codec.format)))},
      {"color_primaries", text(av_color_primaries_name(codec.color_primaries))},
      {"color_transfer", text(av_color_transfer_name(codec.color_trc))},
      {"color_matrix", text(av_color_space_name(codec.color_space))},
      {"hdr", text(HdrKindOf(codec.color_trc))}};
  const AVRational rate = stream.avg_frame_rate;
  facts["fps"] =
      rate.num > 0 && rate.den > 0 ? json(std::round(av_q2d(rate) * 1000) / 1000) : json();
  facts["bitrate_bps"] = codec.bit_rate > 0 ? json(codec.bit_rate) : json();
  return facts;
}

json AudioFacts(const InputFile& file, int index) {
  const AVCodecParameters& codec = *file.stream(index).codecpar;
  json facts = {{"codec", CodecName(codec)},
                {"channels", codec.ch_layout.nb_channels},
                {"sample_rate", codec.sample_rate}};
  facts["bitrate_bps"] = codec.bit_rate > 0 ? json(codec.bit_rate) : json();
  return facts;
}

std::optional<int> FindTrack(const InputFile& file, AVMediaType kind) {
  for (unsigned i = 0; i < file.format().nb_streams; ++i) {
    const AVStream& stream = file.stream(static_cast<int>(i));
    if (stream.codecpar->codec_type == kind && !IsAttachedPicture(stream)) {
      return static_cast<int>(i);
    }
  }
  return std::nullopt;
}

void CheckTrack(const FileResult& result, int track, const std::optional<int>& found,
                const std::vector<Counted>& counted, const char* kind) {
  const bool wanted = track >= 0 && result.tally->tracks[static_cast<size_t>(track)].exists.load();
  if (wanted != found.has_value()) {
    ThrowMismatch(*result.plan, fmt::format("the {} track is {}", kind, wanted ? "missing" : "odd"),
                  {{"kind", kind}});
  }
  if (!wanted) return;
  const int64_t sent = result.tally->tracks[static_cast<size_t>(track)].packets.load();
  const int64_t inside = counted.at(static_cast<size_t>(*found)).packets;
  // Compares pictures exactly and sound not: a demuxer may cut sound into other packets. The index
  // of a copy leaves out what an edit list hides.
  const int64_t encoded = result.video.frames_in.load();
  const bool exact = std::string_view(kind) == "video" && encoded > 0;
  if (exact && result.video.frames_out.load() != encoded) {
    ThrowMismatch(
        *result.plan,
        fmt::format("the encoder gave {} of {} frames", result.video.frames_out.load(), encoded),
        {{"kind", kind}, {"sent", encoded}, {"found", result.video.frames_out.load()}});
  }
  if (exact ? inside == sent : (sent == 0 || inside > 0)) return;
  ThrowMismatch(*result.plan,
                fmt::format("{} of {} {} packets are in the file", inside, sent, kind),
                {{"kind", kind}, {"sent", sent}, {"found", inside}});
}

void CheckPicture(const FileResult& result, const AVCodecParameters& codec) {
  const int width = result.video.width.load();
  const int height = result.video.height.load();
  if (width == 0 || (codec.width == width && codec.height == height)) return;
  ThrowMismatch(*result.plan,
                fmt::format("the picture is {} x {} and not {} x {}", codec.width, codec.height,
                            width, height),
                {{"kind", "video"}});
}

// Allows for priming, a frame of padding and coarse container clocks.
constexpr double kSlackSeconds = 0.5;

// The duration of a track by its packets and its header, whichever is longer.
double TrackSeconds(const InputFile& file, const std::vector<Counted>& counted,
                    const std::optional<int>& track) {
  if (!track) return 0;
  const AVStream& stream = file.stream(*track);
  const Counted& packets = counted.at(static_cast<size_t>(*track));
  const double told =
      stream.duration != AV_NOPTS_VALUE ? ToSeconds(stream.duration, stream.time_base) : 0;
  return std::max(told, packets.end - packets.begin);
}

// Checks that no encoded track is longer than the decoded input. Copies were not decoded.
void CheckNotLonger(const Pipeline& pipeline, const FileResult& result, double seconds) {
  const FilePlan& plan = *result.plan;
  const bool copies =
      (plan.video_stream && plan.spec->video && plan.spec->video->codec == VideoCodec::kCopy) ||
      (plan.audio_stream && plan.spec->audio && plan.spec->audio->codec == AudioCodec::kCopy);
  if (copies) return;
  int64_t end_us = 0;
  for (const std::optional<int>& stream : {plan.video_stream, plan.audio_stream}) {
    if (stream) end_us = std::max(end_us, pipeline.tally(*stream).end_us.load());
  }
  const double decoded = ToSeconds(end_us, kMicroseconds);
  const bool paced = plan.spec->video && plan.spec->video->fps;
  const double period = paced ? 1 / *plan.spec->video->fps : 0;
  if (seconds <= decoded + kSlackSeconds + period) return;
  ThrowMismatch(
      plan,
      fmt::format("the file holds {:.3f} seconds of {:.3f} that were decoded", seconds, decoded),
      {{"seconds", seconds}, {"decoded_seconds", decoded}});
}

void CheckSeconds(const FileResult& result, double seconds) {
  const double sent = ToSeconds(result.tally->end_us.load(), kMicroseconds);
  if (seconds + kSlackSeconds >= sent) return;
  ThrowMismatch(*result.plan, fmt::format("the file holds {:.3f} of {:.3f} seconds", seconds, sent),
                {{"seconds", seconds}, {"planned_seconds", sent}});
}

int64_t BytesOf(const std::string& path) {
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) ThrowStorageError("look at " + path, errno);
  return facts.st_size;
}

// Reports an output that cannot be read as our fault, not the input's.
std::unique_ptr<InputFile> OpenOutput(const FilePlan& plan, const std::string& path) {
  try {
    return std::make_unique<InputFile>(path);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kInputUnreadable || error.code() == ErrorCode::kOutOfMemory) {
      throw;
    }
    ThrowMismatch(plan, std::string("it cannot be read back: ") + error.what(), error.context());
  }
}

OutputFile VerifyFile(const Pipeline& pipeline, const FileResult& result,
                      const std::string& output_dir) {
  const OutputSpec& spec = *result.plan->spec;
  const std::string name = spec.name + "." + std::string(NameOf(*spec.container));
  const std::string path = output_dir + "/" + name;
  const std::unique_ptr<InputFile> opened = OpenOutput(*result.plan, path);
  InputFile& file = *opened;
  const std::vector<Counted> counted = Count(file);
  const std::optional<int> video = FindTrack(file, AVMEDIA_TYPE_VIDEO);
  const std::optional<int> audio = FindTrack(file, AVMEDIA_TYPE_AUDIO);
  CheckTrack(result, result.video_track, video, counted, "video");
  CheckTrack(result, result.audio_track, audio, counted, "audio");
  if (video) CheckPicture(result, *file.stream(*video).codecpar);
  double seconds = file.HeaderSeconds().value_or(0);
  for (const Counted& each : counted) seconds = std::max(seconds, each.end - each.begin);
  CheckSeconds(result, seconds);
  CheckNotLonger(pipeline, result,
                 std::max(TrackSeconds(file, counted, video), TrackSeconds(file, counted, audio)));

  OutputFile made{.output = spec.name, .path = name, .bytes = BytesOf(path)};
  made.media_type = MediaTypeOf(*spec.container, video.has_value());
  made.duration_seconds = std::round(seconds * 1e6) / 1e6;
  if (video) made.video = VideoFacts(file, *video, counted[static_cast<size_t>(*video)]);
  if (audio) made.audio = AudioFacts(file, *audio);
  made.sha256 = result.tally->sha256;
  return made;
}

std::vector<OutputFile> VerifyThumbnails(const ThumbnailResult& result,
                                         const std::string& output_dir) {
  const OutputSpec& spec = *result.plan->spec;
  std::vector<OutputFile> files;
  for (const ThumbnailFile& each : result.tally.files) {
    const std::string path = output_dir + "/" + each.path;
    OutputFile file{.output = spec.name, .path = each.path, .bytes = BytesOf(path)};
    file.sha256 = Sha256OfFile(path);
    file.media_type = TraitsOf(spec.thumbnails->format).media_type;
    file.video = {{"codec", spec.thumbnails->format == ImageFormat::kJpeg ? "mjpeg" : "png"},
                  {"width", each.width},
                  {"height", each.height},
                  {"frames", 1},
                  {"at_seconds", std::round(each.at_seconds * 1000) / 1000}};
    files.push_back(std::move(file));
  }
  return files;
}

void SyncDirectory(const std::string& path) {
  const UniqueFd fd(open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd || fsync(fd.get()) != 0) ThrowStorageError("fsync " + path, errno);
}

}  // namespace

std::vector<OutputFile> VerifyOutputs(const Pipeline& pipeline, const EncodeSpec& spec,
                                      const std::string& output_dir) {
  std::vector<OutputFile> files;
  for (const OutputSpec& output : spec.outputs) {
    for (const FileResult& result : pipeline.files()) {
      if (result.plan->spec == &output && result.tally->made.load()) {
        files.push_back(VerifyFile(pipeline, result, output_dir));
      }
    }
    for (const ThumbnailResult& result : pipeline.thumbnails()) {
      if (result.plan->spec == &output) {
        for (OutputFile& file : VerifyThumbnails(result, output_dir)) {
          files.push_back(std::move(file));
        }
      }
    }
  }
  SyncDirectory(output_dir);
  return files;
}

}  // namespace millrace::encode
