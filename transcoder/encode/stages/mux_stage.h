#pragma once

#include <atomic>
#include <deque>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "core/model/encode_spec.h"
#include "transcoder/encode/base/file_io.h"
#include "transcoder/encode/stages/stage.h"
#include "transcoder/encode/stages/trailing_hash.h"

namespace millrace::encode {

// The format of a track, which a muxer needs before the first packet.
struct TrackFormat {
  ParametersPtr parameters;
  AVRational time_base{1, 1};  // of the packets' timestamps
  AVRational frame_rate{0, 1};
  std::vector<std::pair<AVPacketSideDataType, std::vector<uint8_t>>> side_data;
};

// An item on its way to a muxer. The first item of a track carries its format; one with neither
// format nor packet ends it. A track that ends without a format does not exist.
struct MuxItem {
  size_t track = 0;
  std::shared_ptr<TrackFormat> format;
  PacketPtr packet;
};
using MuxQueue = BoundedQueue<MuxItem>;

// Counts of an output file. Thread-safe; `tracks` is fixed before threads start.
struct FileTally {
  struct Track {
    bool is_video = false;
    std::atomic<bool> exists{false};
    std::atomic<int64_t> packets{0};
  };
  explicit FileTally(size_t count) : tracks(count) {}

  std::vector<Track> tracks;
  std::atomic<int64_t> end_us{0};       // of the track that is furthest behind
  std::atomic<bool> finalizing{false};  // all packets are written
  std::atomic<bool> made{false};        // complete, fsynced and hashed
  std::string sha256;                   // lower-case hex; set before `made`
};

struct MuxOptions {
  Container container = Container::kMp4;
  std::string path;  // in the output folder
  // Bytes kept in front for mov's index, which saves rewriting the file. If they turn out too few,
  // the file is rewritten.
  int64_t reserved_index_bytes = 0;
  // The input, which must outlive the stage: its metadata and (if `chapters`) its chapters are
  // copied.
  const AVFormatContext* input = nullptr;
  std::vector<const AVStream*> input_streams;  // of each track
  bool chapters = false;
  // Predicts the head of the file; may be empty.
  ForeseeHead foresee_head;
  // Makes no file, but only its head, in memory.
  bool rehearsal = false;
};

// Upper bounds of the size of mov's index in bytes: for a track with so many packets, and for
// everything else in it. Take the streams and format of either the input or the output.
int64_t LargestIndexBytes(const AVStream& track, int64_t packets);
int64_t LargestIndexBytes(const AVFormatContext& format);

// Writes one output file. Never waits for a certain track: it takes packets in the order in which
// they come, so a track that starts late (or never) cannot hold up the others. Keeps packets, up to
// a limit, until the format of every track is known. Libavformat interleaves.
class MuxStage {
 public:
  MuxStage(MuxOptions options, FileTally& tally);
  ~MuxStage();
  void Run(MuxQueue& in);

  // Takes one item; for a rehearsal, in the place of Run.
  void Take(MuxItem item);
  // Returns the head of the file. Call it after the end of all tracks.
  FileHead FinishRehearsal();

 private:
  void Begin();
  void WriteHeader();
  void AddTrack(size_t track);
  void TakeOverMetadata();
  void Write(size_t track, AVPacket& packet);
  void NoteTime(size_t track, const AVPacket& packet);
  bool IndexFits() const;
  void GiveUpReservedRoom();
  void WriteTrailer();
  void Finish();
  void Check(int rc, const char* what);
  bool AllKnown() const;
  static int OpenAgain(AVFormatContext* muxer, AVIOContext** io, const char* url, int flags,
                       AVDictionary** options);
  static int CloseAgain(AVFormatContext* muxer, AVIOContext* io);

  struct Track {
    std::shared_ptr<TrackFormat> format;
    AVStream* stream = nullptr;  // owned by muxer_
    bool ended = false;
    int64_t last_dts = AV_NOPTS_VALUE;
    int64_t end_us = 0;
  };

  const MuxOptions options_;
  FileTally& tally_;
  std::vector<Track> tracks_;
  bool begun_ = false;
  int64_t reserved_at_ = 0;      // where the room for the index begins
  std::deque<MuxItem> waiting_;  // for the formats of the other tracks
  int64_t waiting_bytes_ = 0;
  std::unique_ptr<FileIo> io_;
  std::unique_ptr<FileIo> again_;  // the file for reading, while faststart moves its data
  MuxerPtr muxer_;
  std::unique_ptr<TrailingHash> hash_;
};

}  // namespace millrace::encode
