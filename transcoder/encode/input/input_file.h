#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "transcoder/encode/base/file_io.h"
#include "transcoder/ffmpeg.h"

namespace millrace::encode {

// Limits on the work that a hostile file can cause.
struct InputLimits {
  int max_dimension_px = 16384;
  int64_t max_pixels = int64_t{16384} * 8192;
  int max_streams = 512;
  std::chrono::seconds open_deadline{60};
};

// An input (or a finished output), opened and probed. Only container formats on our own list are
// accepted: none that reads other files or the network. One thread uses it at a time; Interrupt()
// may be called by any.
class InputFile {
 public:
  // Throws Error: kInputUnreadable, kEmptyInput, kNotMedia, kUnsupportedFormat, kCorruptMedia,
  // kNoStreams, kMediaLimitExceeded, kDeadlineExceeded.
  explicit InputFile(const std::string& path, const InputLimits& limits = {});

  // Opens the file of `probed` again for its index alone: streams are not probed, and media reads
  // as zeros. Throws as above.
  static std::unique_ptr<InputFile> OpenIndex(const InputFile& probed);

  AVFormatContext& format() { return *demuxer_; }
  const AVFormatContext& format() const { return *demuxer_; }
  const AVStream& stream(int index) const { return *demuxer_->streams[index]; }
  const FileIo& io() const { return io_; }
  const InputLimits& limits() const { return limits_; }

  // Seconds that the header promises, or nullopt. Headers lie.
  std::optional<double> HeaderSeconds() const;
  // Bytes that the container's index names beyond the end of the file.
  int64_t MissingBytes() const;
  // The number of frames in the container's index; 0 if there is none, or if it is spread over the
  // file. Fragments that follow may hold more.
  int64_t IndexedFrames(int stream) const;

  // Ends the current read and all later ones with AVERROR_EXIT.
  void Interrupt() { interrupted_.store(true, std::memory_order_relaxed); }

 private:
  InputFile(UniqueFd fd, const InputLimits& limits);
  const AVInputFormat& ProbeFormat();
  void Open();
  void FindStreams();
  void CheckLimits() const;

  const InputLimits limits_;
  FileIo io_;
  std::atomic<bool> interrupted_{false};
  // The deadline of opening and probing; unset afterwards.
  std::optional<std::chrono::steady_clock::time_point> deadline_;
  DemuxerPtr demuxer_;
};

bool IsAttachedPicture(const AVStream& stream);
// True for Common Encryption (or another kind) without a key: it would probe and decode to nothing.
bool IsEncrypted(const AVStream& stream);
// The codec's name, or the four characters that the container has for a codec unknown to FFmpeg.
std::string CodecName(const AVCodecParameters& parameters);

}  // namespace millrace::encode
