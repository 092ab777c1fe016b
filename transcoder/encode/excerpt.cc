#include "transcoder/encode/excerpt.h"

#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <deque>
#include <map>
#include <optional>

#include "transcoder/encode/stages/copy_route.h"
#include "transcoder/encode/stages/mux_stage.h"

namespace millrace::encode {
namespace {

using enum ErrorCode;

constexpr double kBeforeSeconds = 5;
constexpr double kAfterSeconds = 5;
// Limits the bytes of packets; what the container adds stays well below 32 MiB in all.
constexpr int64_t kMaxBytesBefore = int64_t{24} << 20;
constexpr int64_t kMaxBytes = int64_t{31} << 20;
constexpr int kMaxErrorsInARow = 64;
constexpr const char* kFileName = "excerpt.mkv";

bool MatroskaTakes(const AVStream& stream) {
  const AVMediaType kind = stream.codecpar->codec_type;
  if (kind != AVMEDIA_TYPE_VIDEO && kind != AVMEDIA_TYPE_AUDIO) return false;
  if (IsAttachedPicture(stream)) return false;
  const AVOutputFormat* matroska =
      av_guess_format(TraitsOf(Container::kMkv).muxer, nullptr, nullptr);
  const AVCodecID codec = stream.codecpar->codec_id;
  if (matroska == nullptr) return false;
  if (avformat_query_codec(matroska, codec, FF_COMPLIANCE_NORMAL) == 1) return true;
  // Matroska takes codecs without a name of its own under their AVI or WAV tag.
  const std::array tags = {
      kind == AVMEDIA_TYPE_VIDEO ? avformat_get_riff_video_tags() : avformat_get_riff_audio_tags(),
      static_cast<const AVCodecTag*>(nullptr)};
  return av_codec_get_tag(tags.data(), codec) != 0;
}

// The packets around a moment, in the order of the input.
class Window {
 public:
  Window(InputFile& input, double at_seconds) : input_(input), at_seconds_(at_seconds) {
    AVFormatContext& format = input_.format();
    for (unsigned i = 0; i < format.nb_streams; ++i) {
      const auto index = static_cast<int>(i);
      const bool taken = MatroskaTakes(input_.stream(index));
      format.streams[i]->discard = taken ? AVDISCARD_DEFAULT : AVDISCARD_ALL;
      if (!taken) continue;
      tracks_.emplace(index, tracks_.size());
      const bool picture = input_.stream(index).codecpar->codec_type == AVMEDIA_TYPE_VIDEO;
      if (lead_ < 0 || (picture && !lead_is_picture_)) lead_ = index;
      lead_is_picture_ = lead_is_picture_ || picture;
    }
  }

  void Fill() {
    Seek();
    PacketPtr packet = MakePacket();
    while (bytes_ < kMaxBytes && !behind_ && Read(*packet)) {
      if (tracks_.contains(packet->stream_index) && Mend(*packet)) {
        Take(std::move(packet));
        packet = MakePacket();
      }
      av_packet_unref(packet.get());
    }
  }

  // Returns true if the window holds packets near the moment.
  bool Hit() const {
    return std::ranges::any_of(packets_, [this](const PacketPtr& packet) {
      return SecondsOf(*packet) >= at_seconds_ - kBeforeSeconds;
    });
  }

  const std::map<int, size_t>& tracks() const { return tracks_; }  // by stream
  std::deque<PacketPtr>& packets() { return packets_; }

 private:
  void Seek() {
    const double from = std::max(0.0, at_seconds_ - kBeforeSeconds);
    const auto target = static_cast<int64_t>(from * AV_TIME_BASE);
    // If seeking fails, everything is read, and dropped until the window begins.
    av_seek_frame(&input_.format(), -1, target, AVSEEK_FLAG_BACKWARD);
  }

  // Returns false at the end of the input. Reads on after errors: a demuxer may recover after
  // damage, and damage is what the excerpt is about.
  bool Read(AVPacket& packet) {
    for (int errors = 0; errors < kMaxErrorsInARow; ++errors) {
      const int rc = av_read_frame(&input_.format(), &packet);
      if (rc >= 0) return true;
      if (rc == AVERROR_EOF || input_.io().error() != 0) return false;
    }
    return false;
  }

  double SecondsOf(const AVPacket& packet) const {
    return ToSeconds(packet.dts, input_.stream(packet.stream_index).time_base);
  }

  // Repairs timestamps of damaged files that no container takes. Returns false if the packet has to
  // be dropped.
  static bool Mend(AVPacket& packet) {
    if (packet.size == 0) return false;
    if (packet.dts == AV_NOPTS_VALUE) packet.dts = packet.pts;
    if (packet.dts == AV_NOPTS_VALUE) return false;
    if (packet.pts == AV_NOPTS_VALUE || packet.pts < packet.dts) packet.pts = packet.dts;
    return true;
  }

  void Take(PacketPtr packet) {
    const double at = SecondsOf(*packet);
    const bool leads = packet->stream_index == lead_;
    const bool key = (packet->flags & AV_PKT_FLAG_KEY) != 0;
    // Drops what came before: this keyframe is a later place to begin, still in front of the
    // window.
    if (leads && key && at <= at_seconds_ - kBeforeSeconds) Clear();
    if (leads && at > at_seconds_ + kAfterSeconds) {
      behind_ = true;
      return;
    }
    bytes_ += packet->size;
    packets_.push_back(std::move(packet));
    // Keeps the moment itself in the window, even if the last keyframe is far behind it.
    while (at <= at_seconds_ && bytes_ > kMaxBytesBefore) {
      bytes_ -= packets_.front()->size;
      packets_.pop_front();
    }
  }

  void Clear() {
    packets_.clear();
    bytes_ = 0;
  }

  InputFile& input_;
  const double at_seconds_;
  std::map<int, size_t> tracks_;
  int lead_ = -1;  // the stream whose times count: the first picture, or the first sound
  bool lead_is_picture_ = false;
  std::deque<PacketPtr> packets_;
  int64_t bytes_ = 0;
  bool behind_ = false;
};

double MomentOf(const InputFile& input, const ExcerptSpec& wanted) {
  if (wanted.pts_seconds) return *wanted.pts_seconds;
  const int64_t start = input.format().start_time;
  return wanted.media_seconds.value_or(0) +
         (start != AV_NOPTS_VALUE ? ToSeconds(start, kMicroseconds) : 0);
}

std::string WriteFile(const InputFile& input, Window& window, const std::string& path) {
  MuxOptions options{.container = Container::kMkv,
                     .path = path,
                     .input = &input.format(),
                     .input_streams = {},
                     .foresee_head = {}};
  for (const auto& [stream, track] : window.tracks()) {
    options.input_streams.push_back(&input.stream(stream));
  }
  FileTally tally(window.tracks().size());
  MuxStage mux(std::move(options), tally);
  // The queue holds everything at once, because the same thread fills and empties it.
  MuxQueue queue(window.packets().size() + 2 * window.tracks().size() + 1);
  for (const auto& [stream, track] : window.tracks()) {
    queue.Push(
        {.track = track, .format = CopyRoute::FormatOf(input.stream(stream)), .packet = nullptr});
  }
  for (PacketPtr& packet : window.packets()) {
    const size_t track = window.tracks().at(packet->stream_index);
    queue.Push({.track = track, .format = nullptr, .packet = std::move(packet)});
  }
  for (const auto& [stream, track] : window.tracks()) {
    queue.Push({.track = track, .format = nullptr, .packet = nullptr});
  }
  mux.Run(queue);
  return tally.sha256;
}

}  // namespace

OutputFile CutExcerpt(InputFile& input, const ExcerptSpec& wanted, const std::string& output_dir) {
  Window window(input, MomentOf(input, wanted));
  if (!window.tracks().empty()) window.Fill();
  if (!window.Hit()) {
    throw Error(kNoMatchingStreams, "there is nothing to cut out at that time");
  }
  const std::string path = output_dir + "/" + kFileName;
  OutputFile file{.output = "excerpt", .path = kFileName};
  file.sha256 = WriteFile(input, window, path);
  struct stat facts {};
  if (stat(path.c_str(), &facts) != 0) ThrowStorageError("look at " + path, errno);
  file.bytes = facts.st_size;
  file.media_type = MediaTypeOf(Container::kMkv, true);
  return file;
}

}  // namespace millrace::encode
