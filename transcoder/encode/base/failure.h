#pragma once

#include <optional>
#include <string>

#include "core/base/error.h"

namespace millrace::encode {

// Where a task was when it failed. What is alike in failures is found by these words (see
// broker/ledger/failure_signature.h), so every error that leaves the encoder names at least its
// stage.
struct FailurePlace {
  // "open", "probe", "plan", "demux", "decode", "filter", "encode", "mux" or "verify".
  const char* stage = "";
  int stream = -1;         // of the input; -1: none in particular
  std::string codec = {};  // of what failed; empty: none in particular
  // On the input's own time line: how far the stage had come.
  std::optional<double> pts_seconds = {};
};

// Returns the error with what its thrower has not said itself: the place (`stage`, `stream`,
// `codec`, `pts_seconds`) and the last that FFmpeg complained of (`ffmpeg`).
Error WithPlace(const Error& error, const FailurePlace& place);

}  // namespace millrace::encode
