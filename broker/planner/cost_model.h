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
// For an input that was not probed, assumes pictures of 1920x1080 at 30 a second and a stream of 8
// Mbit/s, unless the clip says how much of it is used.

// The known size of a job's input.
struct InputSize {
  double bytes = 0;
  double media_seconds = 0;  // length of the part that is used
  double pixels = 1920.0 * 1080.0;
  double fps = 30;
};

// Returns nullopt if neither size nor duration is known.
std::optional<InputSize> InputSizeOf(const Job& job);

// Returns the seconds that one process needs to make exactly these outputs. It reads and decodes
// each stream once, however many outputs use it.
double PredictSeconds(const std::vector<OutputSpec>& outputs, const InputSize& input);

// Return true if making the output requires decoding the picture, or the sound.
bool DecodesPicture(const OutputSpec& output);
bool DecodesSound(const OutputSpec& output);

}  // namespace millrace::broker
