#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "transcoder/encode/input/input_file.h"
#include "transcoder/encode/input/plan.h"
#include "transcoder/encode/stages/mux_stage.h"

namespace millrace::encode {

// A track to copy from a stream of the input.
struct CopiedTrack {
  int stream = -1;
  std::shared_ptr<TrackFormat> format;
};

// Predicts the head of a file into which streams are copied, without reading or writing their
// media. Runs a demuxer and a muxer like the real ones, of which the demuxer reads zeros in the
// place of media and the muxer writes nowhere. The prediction may be wrong, as an index can depend
// on the media (for a few codecs): compare it with the file.
class Rehearsal {
 public:
  // `input` must outlive it; only its descriptor is used, and what `options` points at.
  Rehearsal(const InputFile& input, const TimeLine& time, MuxOptions options,
            std::vector<CopiedTrack> tracks);

  // Returns nullopt if it fails, or is stopped. Any thread.
  std::optional<FileHead> Run(const std::stop_token& stop) const;

 private:
  FileHead Copy(const std::stop_token& stop) const;

  const InputFile& input_;
  const TimeLine time_;
  MuxOptions options_;
  const std::vector<CopiedTrack> tracks_;
};

}  // namespace millrace::encode
