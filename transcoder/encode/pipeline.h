#pragma once

#include <functional>
#include <list>
#include <memory>
#include <vector>

#include "core/model/task.h"
#include "transcoder/encode/base/progress.h"
#include "transcoder/encode/input/plan.h"
#include "transcoder/encode/stages/copy_route.h"
#include "transcoder/encode/stages/decode_stage.h"
#include "transcoder/encode/stages/demux_stage.h"
#include "transcoder/encode/stages/encode_stage.h"
#include "transcoder/encode/stages/mux_stage.h"
#include "transcoder/encode/stages/stage_threads.h"
#include "transcoder/encode/stages/thumbnail_stage.h"

namespace millrace::encode {

// What was made of one file of the plan; the verdict reads it.
struct FileResult {
  const FilePlan* plan = nullptr;
  std::unique_ptr<FileTally> tally;
  EncodeTally video;  // of what was encoded; zeros for a copy
  EncodeTally audio;
  std::atomic<bool> tone_mapped{false};
  bool head_is_foreseen = false;  // so that it is hashed while it is written
  // Indexes into tally->tracks; -1: there is no such track.
  int video_track = -1;
  int audio_track = -1;
};
struct ThumbnailResult {
  const ThumbnailPlan* plan = nullptr;
  ThumbnailTally tally;
};

// The stages of one task, each on a thread of its own, with a bounded queue in front:
//
//   demux ─┬─ decode ─┬─ filter ── encode ─┬─ mux      one decode per stream that is used,
//          │          ├─ filter ── encode ─┘           one filter and encode per output stream,
//          │          └─ thumbnails                    one mux per output file
//          └─ copy ────────────────────────── mux
//
// No stage waits for two things: mux takes whatever comes. So the queues cannot lock each other up,
// however badly an input is interleaved. The first error stops all queues; every stage then
// returns.
class Pipeline {
 public:
  struct Options {
    std::string output_dir;
    int threads = 0;
  };
  // `input` and `plan` must outlive the pipeline.
  Pipeline(InputFile& input, const Plan& plan, const Options& options);
  ~Pipeline();

  // Called about every 50 ms by the thread that runs the pipeline, and at the end.
  using Watch = std::function<void(const ProgressEstimator::Observation&)>;
  // Returns when all is written. Throws the first error of any stage, with its place in the
  // context.
  void Run(const Watch& watch);

  // The outputs for the ProgressEstimator, in the order of an Observation's `outputs`.
  std::vector<ProgressEstimator::Output> ProgressOutputs() const;

  // Results; read them after Run.
  const std::list<FileResult>& files() const { return files_; }
  const std::list<ThumbnailResult>& thumbnails() const { return thumbnails_; }
  const StreamTally& tally(int stream) const { return *stream_tallies_.at(stream); }
  const InputTally& input_tally() const { return input_tally_; }

 private:
  struct Decoding {
    std::unique_ptr<PacketQueue> in;
    std::vector<Sink<FramePtr>> out;
  };

  void AddFile(const FilePlan& plan);
  void AddVideo(FileResult& file, size_t track, MuxQueue& mux);
  void AddAudio(FileResult& file, size_t track, MuxQueue& mux);
  void AddCopy(int stream, size_t track, MuxQueue& mux);
  ForeseeHead ForeseeHeadOf(const FilePlan& plan, const MuxOptions& options) const;
  void AddThumbnails(const ThumbnailPlan& plan);
  void AddDecoder(int stream);
  void AddDemuxer();
  FrameQueue& NewFrameQueue();
  PictureOptions PictureOptionsOf(int stream) const;
  MuxOptions MuxOptionsOf(const FilePlan& plan) const;
  int64_t ReservedIndexBytes(const FilePlan& plan) const;
  // How far the decoder of a stream has come, on the input's own time line.
  std::optional<double> ReachedSeconds(int stream) const;
  std::string CodecOf(int stream) const { return CodecName(*input_.stream(stream).codecpar); }
  ProgressEstimator::Observation Observe() const;

  InputFile& input_;
  const Plan& plan_;
  const Options options_;

  InputTally input_tally_;
  std::map<int, std::unique_ptr<StreamTally>> stream_tallies_;
  std::list<FileResult> files_;
  std::list<ThumbnailResult> thumbnails_;
  std::map<int, Decoding> decodings_;
  std::map<int, std::vector<Sink<PacketPtr>>> routes_;
  // Stages hold references to these.
  std::list<FrameQueue> frame_queues_;
  std::list<MuxQueue> mux_queues_;
  StageThreads threads_;
};

}  // namespace millrace::encode
