#include "transcoder/encode/stages/mux_stage.h"

#include <fcntl.h>
#include <unistd.h>

extern "C" {
#include <libavutil/opt.h>
}

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "transcoder/encode/input/plan.h"

namespace millrace::encode {
namespace {

using enum ErrorCode;

// Limits the encoded media that wait for a track that has not begun.
constexpr int64_t kMaxWaitingBytes = int64_t{512} << 20;

// Tags of the input's container that would be wrong in the output, or become a stream of their own.
constexpr auto kDroppedTags = std::to_array<std::string_view>({
    "encoder",
    "major_brand",
    "minor_version",
    "compatible_brands",
    "duration",
    "timecode",
    "software",
    "encoded_by",
    "ENCODER",
    "DURATION",
});
constexpr auto kKeptStreamTags = std::to_array<const char*>({"language", "title", "handler_name"});

void CopyTags(const AVDictionary* from, AVDictionary** to) {
  const AVDictionaryEntry* tag = nullptr;
  while ((tag = av_dict_get(from, "", tag, AV_DICT_IGNORE_SUFFIX)) != nullptr) {
    if (std::ranges::find(kDroppedTags, tag->key) != kDroppedTags.end()) continue;
    encode::Check(av_dict_set(to, tag->key, tag->value, 0), "copy metadata");
  }
}

int64_t TagBytes(const AVDictionary* tags) {
  constexpr int64_t kBoxes = 64;  // that are around each
  int64_t bytes = 0;
  const AVDictionaryEntry* tag = nullptr;
  while ((tag = av_dict_get(tags, "", tag, AV_DICT_IGNORE_SUFFIX)) != nullptr) {
    bytes += kBoxes + std::ssize(std::string_view(tag->value));
  }
  return bytes;
}

void CopyChapters(const AVFormatContext& from, AVFormatContext& to) {
  for (unsigned i = 0; i < from.nb_chapters; ++i) {
    const AVChapter& chapter = *from.chapters[i];
    auto* copy = static_cast<AVChapter*>(av_mallocz(sizeof(AVChapter)));
    auto* list = static_cast<AVChapter**>(
        av_realloc_array(to.chapters, to.nb_chapters + 1, sizeof(AVChapter*)));
    if (list != nullptr) to.chapters = list;
    if (copy == nullptr || list == nullptr) {
      av_free(copy);
      encode::Check(AVERROR(ENOMEM), "copy chapters");
    }
    copy->id = chapter.id;
    copy->time_base = chapter.time_base;
    copy->start = chapter.start;
    copy->end = chapter.end;
    to.chapters[to.nb_chapters++] = copy;
    CopyTags(chapter.metadata, &copy->metadata);
  }
}

}  // namespace

int64_t LargestIndexBytes(const AVStream& track, int64_t packets) {
  constexpr int64_t kPerPicture = 45;  // stsz, stts, ctts, stss, stsc, co64, sdtp
  constexpr int64_t kPerSound = 32;    // stsz, stts, stsc, co64
  const bool video = track.codecpar->codec_type == AVMEDIA_TYPE_VIDEO;
  return packets * (video ? kPerPicture : kPerSound) + track.codecpar->extradata_size +
         TagBytes(track.metadata);
}

int64_t LargestIndexBytes(const AVFormatContext& format) {
  constexpr int64_t kFixed = 64 << 10;
  return kFixed + TagBytes(format.metadata);
}

MuxStage::MuxStage(MuxOptions options, FileTally& tally)
    : options_(std::move(options)), tally_(tally), tracks_(tally.tracks.size()) {}

MuxStage::~MuxStage() = default;

// Throws the operating system's own error if a write failed: libavformat's often says less.
void MuxStage::Check(int rc, const char* what) {
  if (io_ && io_->error() != 0) ThrowStorageError("write " + options_.path, io_->error());
  encode::Check(rc, what);
}

bool MuxStage::AllKnown() const {
  return std::ranges::all_of(
      tracks_, [](const Track& track) { return track.format != nullptr || track.ended; });
}

void MuxStage::AddTrack(size_t index) {
  Track& track = tracks_[index];
  track.stream = avformat_new_stream(muxer_.get(), nullptr);
  if (track.stream == nullptr) encode::Check(AVERROR(ENOMEM), "add a track");
  AVStream& stream = *track.stream;
  Check(avcodec_parameters_copy(stream.codecpar, track.format->parameters.get()), "add a track");
  stream.time_base = track.format->time_base;
  stream.avg_frame_rate = track.format->frame_rate;
  stream.sample_aspect_ratio = stream.codecpar->sample_aspect_ratio;
  stream.disposition = AV_DISPOSITION_DEFAULT;
  for (const auto& [kind, bytes] : track.format->side_data) {
    uint8_t* copy = NewSideData(stream, kind, bytes.size());
    if (copy == nullptr) encode::Check(AVERROR(ENOMEM), "add a track");
    std::memcpy(copy, bytes.data(), bytes.size());
  }
  // 'hvc1' is the only kind of HEVC that Apple's players take.
  if (TraitsOf(options_.container).is_mov && stream.codecpar->codec_id == AV_CODEC_ID_HEVC) {
    stream.codecpar->codec_tag = MKTAG('h', 'v', 'c', '1');
  }
  const AVStream* input = options_.input_streams.at(index);
  for (const char* key : kKeptStreamTags) {
    const AVDictionaryEntry* tag = av_dict_get(input->metadata, key, nullptr, 0);
    if (tag != nullptr) av_dict_set(&stream.metadata, key, tag->value, 0);
  }
  tally_.tracks[index].exists.store(true);
}

void MuxStage::TakeOverMetadata() {
  CopyTags(options_.input->metadata, &muxer_->metadata);
  if (options_.chapters) CopyChapters(*options_.input, *muxer_);
}

void MuxStage::Begin() {
  begun_ = true;
  if (std::ranges::none_of(tracks_, [](const Track& track) { return track.format != nullptr; })) {
    return;
  }
  AVFormatContext* made = nullptr;
  Check(avformat_alloc_output_context2(&made, nullptr, TraitsOf(options_.container).muxer,
                                       options_.path.c_str()),
        "make a muxer");
  muxer_.reset(made);
  io_ = options_.rehearsal
            ? std::make_unique<FileIo>()
            : std::make_unique<FileIo>(CreateForWriting(options_.path), FileIo::Mode::kWrite);
  muxer_->pb = io_->context();
  muxer_->opaque = this;
  muxer_->io_open = &OpenAgain;
  muxer_->io_close2 = &CloseAgain;
  // Writes neither time nor build into the file: the same input and spec give the same bytes.
  muxer_->flags |= AVFMT_FLAG_CUSTOM_IO | AVFMT_FLAG_BITEXACT;
  for (size_t i = 0; i < tracks_.size(); ++i) {
    if (tracks_[i].format) AddTrack(i);
  }
  TakeOverMetadata();
  WriteHeader();
  while (!waiting_.empty()) {
    MuxItem item = std::move(waiting_.front());
    waiting_.pop_front();
    Write(item.track, *item.packet);
  }
}

void MuxStage::WriteHeader() {
  Options options;
  if (TraitsOf(options_.container).is_mov) {
    if (options_.reserved_index_bytes > 0) {
      options.Set("moov_size", options_.reserved_index_bytes);
      options.Set("movflags", std::string("+write_colr"));
    } else {
      options.Set("movflags", std::string("+faststart+write_colr"));
    }
  }
  if (options_.container == Container::kMp3) options.Set("id3v2_version", int64_t{3});
  Check(avformat_write_header(muxer_.get(), options.get()), "write the header");
  options.CheckAllTaken(muxer_->oformat->name);
  avio_flush(io_->context());
  // The room ends in front of an empty box and the head of the media's box.
  reserved_at_ = avio_tell(io_->context()) - 16 - options_.reserved_index_bytes;
  if (options_.rehearsal) {
    io_->EndHead();
  } else {
    hash_ = std::make_unique<TrailingHash>(options_.path, options_.foresee_head);
  }
}

void MuxStage::NoteTime(size_t index, const AVPacket& packet) {
  Track& track = tracks_[index];
  const int64_t end = packet.pts + std::max<int64_t>(packet.duration, 0);
  track.end_us = std::max(track.end_us, av_rescale_q(end, track.stream->time_base, kMicroseconds));
  tally_.tracks[index].packets.fetch_add(1);
  int64_t least = INT64_MAX;
  for (const Track& each : tracks_) {
    if (each.stream != nullptr && !each.ended) least = std::min(least, each.end_us);
  }
  if (least != INT64_MAX) tally_.end_us.store(std::max(tally_.end_us.load(), least));
}

void MuxStage::Write(size_t index, AVPacket& packet) {
  Track& track = tracks_[index];
  if (track.stream == nullptr) return;
  av_packet_rescale_ts(&packet, track.format->time_base, track.stream->time_base);
  packet.stream_index = track.stream->index;
  packet.pos = -1;
  // DTS must rise; coarse time bases and damaged inputs make equal ones.
  if (track.last_dts != AV_NOPTS_VALUE && packet.dts <= track.last_dts) {
    packet.dts = track.last_dts + 1;
    packet.pts = std::max(packet.pts, packet.dts);
  }
  track.last_dts = packet.dts;
  NoteTime(index, packet);
  Check(av_interleaved_write_frame(muxer_.get(), &packet), "write a packet");
  if (hash_) hash_->Written(io_->position());
}

void MuxStage::Take(MuxItem item) {
  Track& track = tracks_[item.track];
  if (item.format) {
    track.format = std::move(item.format);
  } else if (!item.packet) {
    track.ended = true;
  } else if (begun_) {
    Write(item.track, *item.packet);
  } else {
    waiting_bytes_ += item.packet->size;
    if (waiting_bytes_ > kMaxWaitingBytes) {
      throw Error(kMediaLimitExceeded,
                  "one track begins too long after the others to be interleaved with them");
    }
    waiting_.push_back(std::move(item));
  }
  if (!begun_ && AllKnown()) Begin();
}

bool MuxStage::IndexFits() const {
  if (options_.reserved_index_bytes == 0) return true;
  int64_t bytes = LargestIndexBytes(*muxer_);
  for (size_t i = 0; i < tracks_.size(); ++i) {
    if (tracks_[i].stream == nullptr) continue;
    bytes += LargestIndexBytes(*tracks_[i].stream, tally_.tracks[i].packets.load());
  }
  return bytes <= options_.reserved_index_bytes;
}

// The muxer would write its index over the media and complain only then. Turn faststart on instead,
// as where no room was kept: it moves the media, and the room with them, as a box to skip.
void MuxStage::GiveUpReservedRoom() {
  AVIOContext* io = io_->context();
  const int64_t end = avio_tell(io);
  avio_seek(io, reserved_at_, SEEK_SET);
  avio_wb32(io, static_cast<unsigned>(options_.reserved_index_bytes));
  avio_wl32(io, MKTAG('f', 'r', 'e', 'e'));
  avio_seek(io, end, SEEK_SET);
  // With moov_size set, the muxer would take the room for the end of what it moves.
  Check(av_opt_set_int(muxer_->priv_data, "moov_size", 0, 0), "finish the file");
  Check(av_opt_set(muxer_->priv_data, "movflags", "+faststart", 0), "finish the file");
}

void MuxStage::WriteTrailer() {
  Check(av_write_trailer(muxer_.get()), "finish the file");
  avio_flush(io_->context());
  Check(io_->context()->error, "finish the file");
}

FileHead MuxStage::FinishRehearsal() {
  if (!muxer_ || !IndexFits()) return {};
  WriteTrailer();
  return io_->head();
}

void MuxStage::Finish() {
  if (!muxer_) return;
  tally_.finalizing.store(true);
  if (!IndexFits()) GiveUpReservedRoom();
  WriteTrailer();
  // Fsync waits for the disk and hashing for the processor; both read the file from the page cache.
  hash_->Complete(io_->rewritten_to());
  if (fsync(io_->fd()) != 0) ThrowStorageError("fsync " + options_.path, errno);
  muxer_.reset();
  io_.reset();
  tally_.sha256 = hash_->Get();
  tally_.made.store(true);
}

void MuxStage::Run(MuxQueue& in) {
  for (size_t i = 0; i < tracks_.size();) {
    std::optional<MuxItem> item = in.Pop();
    if (!item) return;
    const bool ends = !item->format && !item->packet;
    Take(std::move(*item));
    if (ends) ++i;
  }
  Finish();
}

// Opens nothing but the muxer's own file, which faststart reads while it moves the data.
int MuxStage::OpenAgain(AVFormatContext* muxer, AVIOContext** io, const char* url, int flags,
                        AVDictionary**) {
  auto& self = *static_cast<MuxStage*>(muxer->opaque);
  if (self.options_.path != url || (flags & AVIO_FLAG_WRITE) != 0) return AVERROR(EPERM);
  UniqueFd fd(open(url, O_RDONLY | O_CLOEXEC | O_NOFOLLOW));
  if (!fd) return AVERROR(errno);
  self.again_ = std::make_unique<FileIo>(std::move(fd), FileIo::Mode::kRead);
  *io = self.again_->context();
  return 0;
}

int MuxStage::CloseAgain(AVFormatContext* muxer, AVIOContext* io) {
  auto& self = *static_cast<MuxStage*>(muxer->opaque);
  if (self.again_ && self.again_->context() == io) self.again_.reset();
  return 0;
}

}  // namespace millrace::encode
