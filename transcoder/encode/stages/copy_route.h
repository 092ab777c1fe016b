#pragma once

#include <cstdint>

#include "transcoder/encode/input/plan.h"
#include "transcoder/encode/stages/mux_stage.h"

namespace millrace::encode {

// Passes the packets of a copied stream from the demuxer to a muxer, moved onto the output's time
// line and otherwise unchanged. Called by the demuxer's thread only.
class CopyRoute {
 public:
  CopyRoute(const AVStream& stream, const TimeLine& time, size_t track, Sink<MuxItem> out);

  static std::shared_ptr<TrackFormat> FormatOf(const AVStream& stream);
  // Takes a packet, or null at the end.
  bool Take(PacketPtr packet);

 private:
  bool IsWanted(const AVPacket& packet);

  const int64_t origin_;
  const std::optional<int64_t> end_;
  const bool is_video_;
  const bool trimmed_start_;
  const bool reorders_;
  const size_t track_;
  const Sink<MuxItem> out_;
  bool begun_ = false;
};

}  // namespace millrace::encode
