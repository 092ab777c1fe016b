#pragma once

#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "core/model/encode_spec.h"
#include "transcoder/encode/stages/stage.h"
#include "transcoder/encode/stages/video_stage.h"

namespace millrace::encode {

struct ThumbnailOptions {
  ThumbnailSpec spec;
  std::string directory;
  std::string name;                       // stem of the files
  std::optional<double> planned_seconds;  // of the output's time line, as far as is known
  PictureOptions picture;                 // size and codec are set by the stage
  bool cover_art = false;                 // there is one picture only
};

// The pictures that a thumbnail stage has made; read it when the stage has ended.
struct ThumbnailFile {
  std::string path;  // relative to the directory
  int width = 0;
  int height = 0;
  double at_seconds = 0;
};
struct ThumbnailTally {
  std::vector<ThumbnailFile> files;  // the stage's thread until it has ended
  std::atomic<int64_t> reached_us{0};
};

// Writes the decoded pictures that are on screen at the wanted times. If the input ends before such
// a time (its header lied), the last picture stands in.
class ThumbnailStage {
 public:
  ThumbnailStage(ThumbnailOptions options, FrameQueue& in, ThumbnailTally& tally);
  void Run();

 private:
  void See(FramePtr frame);
  void Make(const AVFrame& frame);
  std::string NextName() const;

  const ThumbnailOptions options_;
  FrameQueue& in_;
  ThumbnailTally& tally_;
  const std::vector<double> times_;  // rising
  FramePtr latest_;
};

// Returns the times at which pictures are wanted. Of an input of unknown duration they lie behind
// its end, so that the last picture is taken.
std::vector<double> ThumbnailTimes(const ThumbnailSpec& spec,
                                   std::optional<double> planned_seconds);

}  // namespace millrace::encode
