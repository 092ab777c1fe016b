#include "transcoder/encode/input/input_file.h"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <string_view>
#include <vector>

#include "transcoder/encode/base/ffmpeg_log.h"

namespace millrace::encode {
namespace {

using enum ErrorCode;

// Containers and raw streams that hold their media themselves, by libavformat's demuxer names.
constexpr auto kAllowedFormats = std::to_array<std::string_view>({
    "mov,mp4,m4a,3gp,3g2,mj2",
    "matroska,webm",
    "mpegts",
    "mpeg",
    "avi",
    "flv",
    "live_flv",
    "asf",
    "asf_o",
    "ogg",
    "wav",
    "w64",
    "aiff",
    "caf",
    "au",
    "mp3",
    "aac",
    "ac3",
    "eac3",
    "dts",
    "dtshd",
    "truehd",
    "mlp",
    "flac",
    "ape",
    "tta",
    "wv",
    "mpc",
    "mpc8",
    "amr",
    "amrnb",
    "amrwb",
    "dsf",
    "iff",
    "voc",
    "loas",
    "latm",
    "sbc",
    "h264",
    "hevc",
    "m4v",
    "mpegvideo",
    "mjpeg",
    "ingenient",
    "vc1",
    "dirac",
    "ivf",
    "obu",
    "av1",
    "h263",
    "h261",
    "cavsvideo",
    "avs2",
    "avs3",
    "gif",
    "apng",
    "mxf",
    "gxf",
    "dv",
    "nut",
    "rm",
    "ivr",
    "wtv",
    "yuv4mpegpipe",
    "bink",
    "smk",
    "roq",
    "swf",
    "nsv",
    "vivo",
    "filmstrip",
    "mpjpeg",
    "jpeg_pipe",
    "png_pipe",
    "bmp_pipe",
    "webp_pipe",
    "tiff_pipe",
    "jpegls_pipe",
    "j2k_pipe",
    "psd_pipe",
    "qoi_pipe",
    "gif_pipe",
    "ppm_pipe",
    "pgm_pipe",
    "dpx_pipe",
    "exr_pipe",
    "sgi_pipe",
    "sunrast_pipe",
    "tga_pipe",
    "pcx_pipe",
});

// Text that only names other resources, and formats that open them.
constexpr auto kPlaylists = std::to_array<std::string_view>({
    "hls",
    "concat",
    "concatf",
    "dash",
    "imf",
    "sdp",
    "rtsp",
    "rtp",
    "image2",
    "image2pipe",
    "webm_dash_manifest",
    "ffmetadata",
    "applehttp",
    "tedcaptions",
});

bool Contains(const auto& list, std::string_view name) {
  return std::ranges::find(list, name) != list.end();
}

nlohmann::json AtStage(const char* stage) {
  nlohmann::json context = {{"stage", stage}};
  if (const std::string said = Complaints().last_error; !said.empty()) context["ffmpeg"] = said;
  return context;
}

void CheckFormatIsAllowed(const AVInputFormat& found) {
  if (Contains(kAllowedFormats, found.name)) return;
  nlohmann::json context = AtStage("open");
  context["format"] = found.name;
  if (Contains(kPlaylists, found.name)) {
    throw Error(kUnsupportedFormat,
                std::string("playlists that refer to other resources are not accepted (") +
                    found.name + ")",
                context);
  }
  throw Error(kUnsupportedFormat, std::string("the format ") + found.name + " is not accepted",
              context);
}

// Libavformat calls this to open other files that the input refers to.
int RefuseToOpen(AVFormatContext*, AVIOContext**, const char*, int, AVDictionary**) {
  return AVERROR(EPERM);
}

}  // namespace

InputFile::InputFile(UniqueFd fd, const InputLimits& limits)
    : limits_(limits), io_(std::move(fd), FileIo::Mode::kRead) {}

InputFile::InputFile(const std::string& path, const InputLimits& limits)
    : InputFile(OpenForReading(path), limits) {
  if (io_.size() == 0) throw Error(kEmptyInput, "the input has no bytes", {{"stage", "open"}});
  deadline_ = std::chrono::steady_clock::now() + limits_.open_deadline;
  Open();
  FindStreams();
  CheckLimits();
  deadline_.reset();
}

std::unique_ptr<InputFile> InputFile::OpenIndex(const InputFile& probed) {
  UniqueFd fd(fcntl(probed.io_.fd(), F_DUPFD_CLOEXEC, 0));
  if (!fd) {
    throw Error(kInputUnreadable, "the input cannot be opened twice", AtStage("open"));
  }
  std::unique_ptr<InputFile> file(new InputFile(std::move(fd), probed.limits_));
  file->deadline_ = std::chrono::steady_clock::now() + file->limits_.open_deadline;
  file->Open();
  file->deadline_.reset();
  // Turns parsers off: the index names the keyframes, and a parser would search for them in zeros.
  file->demuxer_->flags |= AVFMT_FLAG_NOPARSE;
  file->io_.StopReading();
  return file;
}

const AVInputFormat& InputFile::ProbeFormat() {
  const AVInputFormat* found = nullptr;
  const int score = av_probe_input_buffer2(io_.context(), &found, "", nullptr, 0, 0);
  if (io_.error() != 0) {
    throw Error(kInputUnreadable,
                std::string("the input cannot be read: ") + std::strerror(io_.error()),
                {{"stage", "open"}, {"errno", io_.error()}});
  }
  if (score < 0 || found == nullptr) {
    throw Error(kNotMedia, "the input is not in any known media format", AtStage("open"));
  }
  CheckFormatIsAllowed(*found);
  return *found;
}

void InputFile::Open() {
  const AVInputFormat& format = ProbeFormat();
  AVFormatContext* context = avformat_alloc_context();
  if (context == nullptr) {
    throw Error(kOutOfMemory, "FFmpeg could not allocate memory", AtStage("open"));
  }
  context->pb = io_.context();
  context->flags |= AVFMT_FLAG_CUSTOM_IO;
  context->io_open = &RefuseToOpen;
  context->max_streams = limits_.max_streams;
  context->interrupt_callback = {
      .callback =
          [](void* opaque) {
            const auto& self = *static_cast<InputFile*>(opaque);
            return (self.interrupted_.load(std::memory_order_relaxed) ||
                    (self.deadline_ && std::chrono::steady_clock::now() > *self.deadline_))
                       ? 1
                       : 0;
          },
      .opaque = this};
  // On failure FFmpeg frees the context and sets it to null.
  const int rc = avformat_open_input(&context, nullptr, &format, nullptr);
  demuxer_.reset(context);
  if (rc == AVERROR_EXIT) {
    throw Error(kDeadlineExceeded, "the input takes too long to open", AtStage("open"));
  }
  if (rc < 0) {
    nlohmann::json said = AtStage("open");
    said["ffmpeg_error"] = rc;
    throw Error(rc == AVERROR(ENOMEM) ? kOutOfMemory : kCorruptMedia,
                "the " + std::string(format.name) + " file cannot be opened: " + ErrorText(rc),
                said);
  }
}

void InputFile::FindStreams() {
  const unsigned count = demuxer_->nb_streams;
  std::vector<AVDictionary*> options(count);
  for (AVDictionary*& each : options) {
    av_dict_set_int(&each, "max_pixels", limits_.max_pixels, 0);
    av_dict_set_int(&each, "threads", 1, 0);
  }
  const int rc = avformat_find_stream_info(demuxer_.get(), count > 0 ? options.data() : nullptr);
  for (AVDictionary*& each : options) av_dict_free(&each);
  if (rc == AVERROR_EXIT) {
    throw Error(kDeadlineExceeded, "the input takes too long to probe", AtStage("probe"));
  }
  if (rc < 0 && io_.error() != 0) {
    throw Error(kInputUnreadable,
                std::string("the input cannot be read: ") + std::strerror(io_.error()),
                {{"stage", "probe"}, {"errno", io_.error()}});
  }
  const bool has_media =
      std::any_of(demuxer_->streams, demuxer_->streams + demuxer_->nb_streams, [](AVStream* each) {
        return each->codecpar->codec_type == AVMEDIA_TYPE_VIDEO ||
               each->codecpar->codec_type == AVMEDIA_TYPE_AUDIO;
      });
  if (!has_media) {
    throw Error(kNoStreams, "the input has neither picture nor sound", AtStage("probe"));
  }
}

void InputFile::CheckLimits() const {
  for (unsigned i = 0; i < demuxer_->nb_streams; ++i) {
    const AVCodecParameters& made = *demuxer_->streams[i]->codecpar;
    if (made.codec_type != AVMEDIA_TYPE_VIDEO) continue;
    if (std::max(made.width, made.height) <= limits_.max_dimension_px &&
        int64_t{made.width} * made.height <= limits_.max_pixels) {
      continue;
    }
    throw Error(kMediaLimitExceeded,
                "a picture of " + std::to_string(made.width) + " x " + std::to_string(made.height) +
                    " pixels is too large",
                {{"stage", "probe"}, {"stream", i}, {"codec", CodecName(made)}});
  }
}

std::optional<double> InputFile::HeaderSeconds() const {
  if (demuxer_->duration == AV_NOPTS_VALUE || demuxer_->duration <= 0) return std::nullopt;
  return ToSeconds(demuxer_->duration, kMicroseconds);
}

int64_t InputFile::MissingBytes() const {
  int64_t end = 0;
  for (unsigned i = 0; i < demuxer_->nb_streams; ++i) {
    AVStream* stream = demuxer_->streams[i];
    const int entries = avformat_index_get_entries_count(stream);
    for (int entry = 0; entry < entries; ++entry) {
      const AVIndexEntry* at = avformat_index_get_entry(stream, entry);
      // Only mov's index has true sizes; in other formats `size` is 0 and `pos` alone is compared.
      if (at != nullptr) end = std::max<int64_t>(end, at->pos + at->size);
    }
  }
  return std::max<int64_t>(0, end - io_.size());
}

int64_t InputFile::IndexedFrames(int index) const {
  if (std::string_view(demuxer_->iformat->name) != "mov,mp4,m4a,3gp,3g2,mj2") return 0;
  // Not known for fragmented files, whose index covers only the fragments read so far. Edit lists
  // make the index longer or shorter than the list of frames.
  AVStream* stream = demuxer_->streams[index];
  if (stream->nb_frames == 0) return 0;
  return std::max<int64_t>(stream->nb_frames, avformat_index_get_entries_count(stream));
}

bool IsAttachedPicture(const AVStream& stream) {
  return (stream.disposition & (AV_DISPOSITION_ATTACHED_PIC | AV_DISPOSITION_TIMED_THUMBNAILS)) !=
         0;
}

bool IsEncrypted(const AVStream& stream) {
  const uint32_t tag = stream.codecpar->codec_tag;
  return tag == MKTAG('e', 'n', 'c', 'v') || tag == MKTAG('e', 'n', 'c', 'a');
}

std::string CodecName(const AVCodecParameters& parameters) {
  if (parameters.codec_id != AV_CODEC_ID_NONE) return avcodec_get_name(parameters.codec_id);
  std::array<char, AV_FOURCC_MAX_STRING_SIZE> text{};
  return av_fourcc_make_string(text.data(), parameters.codec_tag);
}

}  // namespace millrace::encode
