#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/fixtures.h"

namespace millrace::harness {

// Compares outputs with their inputs, as measured by the independent tools of media-fixtures. Each
// check fails through gtest's EXPECT_ macros.

// Returns the first stream of that type that is not cover art; null if there is none.
nlohmann::json StreamOf(const nlohmann::json& facts, const std::string& type);

// The facts of an input that matter for its outputs.
struct Contents {
  bool video = false;
  bool audio = false;
  bool hdr = false;  // becomes BT.709 where the output has eight bits
  // The header promises clearly more seconds than the streams hold.
  bool header_lies = false;
};
// `promised` and `held` in seconds; the former is null where the header says nothing.
bool HeaderLies(const nlohmann::json& promised, double held);
Contents ContentsOf(const fixtures::Fixture& fixture);

// Returns whether the job has a warning whose code is not among `remarks`.
bool WarnsOfMoreThan(const std::set<std::string>& remarks, const nlohmann::json& job);

// Returns the codes of the job's warnings, and checks that each has a sentence.
std::set<std::string> WarningsOf(const nlohmann::json& job);
// Returns the warnings of a good H.264/AAC output: for streams that the input lacks, and for facts
// that the output cannot keep.
std::set<std::string> RemarksOn(Contents contents);

// The largest picture to ask for.
struct Box {
  int width = 0;
  int height = 0;
};

// Checks that `output` looks and sounds like the fixture: streams, every frame, times, size on
// screen, upright, square samples, colours, sound and picture in sync.
void ExpectSameMedia(const std::filesystem::path& output, const fixtures::Fixture& fixture,
                     Box box);

// Checks that `picture` is a still picture of the fixture, `width` wide unless the fixture is
// smaller.
void ExpectPosterOf(const std::filesystem::path& picture, const fixtures::Fixture& fixture,
                    int width);

// Returns the size on screen of a picture scaled down to fit into the box.
Box Fitted(int width, int height, Box box);

}  // namespace millrace::harness
