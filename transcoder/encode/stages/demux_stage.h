#pragma once

#include <map>
#include <vector>

#include "transcoder/encode/input/input_file.h"
#include "transcoder/encode/input/plan.h"
#include "transcoder/encode/stages/stage.h"

namespace millrace::encode {

// Reads packets and hands each to the routes of its stream; ends every route with a flush. Seeks to
// the start of the clip and stops behind its end. Mends time lines that jump (MPEG-TS).
class DemuxStage {
 public:
  struct Route {
    int stream = -1;
    std::vector<Sink<PacketPtr>> sinks;
    StreamTally* tally = nullptr;
  };

  // All references must outlive the stage; the stage is the only user of `input` while it runs.
  DemuxStage(InputFile& input, const TimeLine& time, std::vector<Route> routes, InputTally& tally);
  void Run();

 private:
  void SeekToClip();
  bool Deliver(Route& route, PacketPtr packet);
  // Returns false at the end of the input.
  bool Read(AVPacket& packet);
  void MendJump(AVPacket& packet);
  void NoteTime(const Route& route, const AVPacket& packet);
  bool AllBehindClip() const;

  InputFile& input_;
  const TimeLine time_;
  std::map<int, Route> routes_;
  InputTally& tally_;

  const bool mends_jumps_;
  int64_t jump_us_ = 0;                // added to every timestamp
  std::map<int, int64_t> next_;        // the expected DTS of each stream, microseconds, mended
  std::map<int, int64_t> reached_us_;  // DTS in output time
  int errors_in_a_row_ = 0;
};

}  // namespace millrace::encode
