#pragma once

#include <memory>
#include <optional>
#include <stop_token>
#include <vector>

#include "transcoder/encode/input/input_file.h"
#include "transcoder/encode/input/plan.h"
#include "transcoder/encode/stages/mux_stage.h"

namespace millrace::encode {

// A track that is copied from a stream.
struct CopiedTrack {
  int stream = -1;
  std::shared_ptr<TrackFormat> format;
};

// Copies streams into a file without reading or writing their media, to see what the file will
// begin with: a demuxer and a muxer that are like the real ones are run, but the one finds zeros
// where there are media, and the other writes nowhere. What comes out is a guess, for an index may
// depend on media (few codecs' does): whoever uses it has to compare it with the file.
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
