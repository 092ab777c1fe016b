#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

namespace millrace::fixtures {

// Readings of a media file by the installed ffprobe and ffmpeg, apart from all of Millrace's own
// code, so that one may check the other. Every function may be called from any thread; it starts
// child processes, which open no network and are stopped after a minute.

// What is in the file. All times are in seconds, rounded to the millisecond:
//   readable          ffprobe could open it; when false there is nothing else
//   container         ffprobe's name of the format
//   duration_seconds  what the header promises; null where it promises nothing
//   start_seconds     the first timestamp
//   seconds           from the first shown timestamp to the end of the last packet
//   chapters          how many
//   streams           one object for each stream, in order; see docs in README.md
nlohmann::ordered_json MeasureFacts(const std::filesystem::path& file);

// The colours of the four quarters of the first frame as a player shows it, turned upright:
// top left, top right, bottom left, bottom right. "?" where a quarter is none of red, green, blue,
// yellow, white and black. Empty where there is no picture.
std::vector<std::string> MeasureCorners(const std::filesystem::path& file);

// When flashes and beeps begin, by the file's own timestamps, to within a frame and two
// milliseconds.
struct SyncMarks {
  std::vector<double> flashes;
  std::vector<double> beeps;

  // The largest distance between a flash and its beep. REQUIRES: as many flashes as beeps, > 0.
  double WorstOffset() const;
};
SyncMarks MeasureSync(const std::filesystem::path& file);

}  // namespace millrace::fixtures
