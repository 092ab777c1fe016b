#pragma once

#include <optional>
#include <string>

#include "core/base/error.h"

namespace millrace::encode {

// The place at which a task failed. Failures are grouped by these words (see
// broker/ledger/failure_signature.h), so every error that leaves the encoder names at least its
// stage.
struct FailurePlace {
  // "open", "probe", "plan", "demux", "decode", "filter", "encode", "mux" or "verify".
  const char* stage = "";
  int stream = -1;         // of the input; -1: none in particular
  std::string codec = {};  // of what failed; empty: none in particular
  // How far the stage had come, on the input's own time line.
  std::optional<double> pts_seconds = {};
};

// Returns the error, completed by what its thrower left out: the place (`stage`, `stream`, `codec`,
// `pts_seconds`) and FFmpeg's last complaint (`ffmpeg`).
Error WithPlace(const Error& error, const FailurePlace& place);

}  // namespace millrace::encode
