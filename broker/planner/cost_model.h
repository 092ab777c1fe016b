#pragma once

#include <cstdint>
#include <optional>

#include "core/model/job.h"

namespace millrace::broker {

// Predicts how long outputs take, in seconds of one processor. The rates are those of a common
// server core, rounded: plans and progress need proportions, not truth.
//
//   read the input once                   1000 MB/s
//   write, hash and sync a copied stream   100 MB/s
//   decode a picture                       300 Mpx/s
//   encode a picture, H.264 at "medium"     60 Mpx/s; times 4 to 1/7 from ultrafast to veryslow;
//                                          a quarter for HEVC, a fifth for VP9, a sixth for AV1
//   decode sound                           800 times as fast as it plays
//   encode sound                            50 times
//   one still picture                      0.05 s
//
// Of an input that nobody has probed, the pictures are taken to be 1920x1080 at 30 a second and the
// stream to have 8 Mbit/s, unless the clip says how much of it is used.

// What is known of a job's input.
struct InputSize {
  double bytes = 0;
  double media_seconds = 0;  // that are used
  double pixels = 1920.0 * 1080.0;
  double fps = 30;
};

// Returns nullopt where neither size nor duration is known.
std::optional<InputSize> InputSizeOf(const Job& job);

// Seconds for a process that makes these outputs and no others: each stream is read and decoded
// once, however many outputs use it.
double PredictSeconds(const std::vector<OutputSpec>& outputs, const InputSize& input);

// Whether making it takes a decode of the picture, or of the sound.
bool DecodesPicture(const OutputSpec& output);
bool DecodesSound(const OutputSpec& output);

}  // namespace millrace::broker
