#pragma once

#include <filesystem>

namespace millrace::bench {

// Makes a 1080p H.264/AAC clip in the folder and returns its path: 12 s of real footage, scaled up,
// if MILLRACE_MEDIA_DIR names a folder with some, else moving patterns with noise, which are as
// hard to encode. Throws std::runtime_error if ffmpeg fails.
std::filesystem::path Make1080pClip(const std::filesystem::path& folder);

// Repeats the clip, unchanged, until the file has at least that many bytes.
std::filesystem::path MakeLongClip(const std::filesystem::path& clip, uintmax_t bytes);

// Returns the structural similarity of the picture of `made` with that of `source`, scaled to its
// size; 1 if equal.
double MeasureSsim(const std::filesystem::path& made, const std::filesystem::path& source);

}  // namespace millrace::bench
