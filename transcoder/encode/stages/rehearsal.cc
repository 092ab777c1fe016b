#include "transcoder/encode/stages/rehearsal.h"

#include <list>
#include <utility>

#include "transcoder/encode/base/ffmpeg_log.h"
#include "transcoder/encode/stages/copy_route.h"
#include "transcoder/encode/stages/demux_stage.h"

namespace millrace::encode {

Rehearsal::Rehearsal(const InputFile& input, const TimeLine& time, MuxOptions options,
                     std::vector<CopiedTrack> tracks)
    : input_(input), time_(time), options_(std::move(options)), tracks_(std::move(tracks)) {
  options_.rehearsal = true;
}

FileHead Rehearsal::Copy(const std::stop_token& stop) const {
  const std::unique_ptr<InputFile> input = InputFile::OpenIndex(input_);
  FileTally file_tally(tracks_.size());
  MuxStage mux(options_, file_tally);
  std::list<CopyRoute> copies;
  std::list<StreamTally> tallies;
  std::vector<DemuxStage::Route> routes;
  for (size_t i = 0; i < tracks_.size(); ++i) {
    mux.Take({.track = i, .format = tracks_[i].format, .packet = nullptr});
    CopyRoute& copy =
        copies.emplace_back(input->stream(tracks_[i].stream), time_, i, [&](MuxItem item) {
          if (stop.stop_requested()) return false;
          mux.Take(std::move(item));
          return true;
        });
    routes.push_back({.stream = tracks_[i].stream,
                      .sinks = {[&copy](PacketPtr packet) { return copy.Take(std::move(packet)); }},
                      .tally = &tallies.emplace_back()});
  }
  InputTally input_tally;
  DemuxStage(*input, time_, std::move(routes), input_tally).Run();
  return stop.stop_requested() ? FileHead() : mux.FinishRehearsal();
}

std::optional<FileHead> Rehearsal::Run(const std::stop_token& stop) const {
  const MutedFfmpegLog muted;
  try {
    FileHead head = Copy(stop);
    if (!head.empty()) return head;
  } catch (const std::exception&) {
    // Ignores errors: the real copy reports them.
  }
  return std::nullopt;
}

}  // namespace millrace::encode
