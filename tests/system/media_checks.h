#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "tests/fakes/fixtures.h"

namespace millrace::harness {

// Comparisons of what the service made with what it was given, by the independent readings of
// media-fixtures. Each complains through gtest's EXPECT_ macros.

// The first stream of that type that is not cover art; null if there is none.
nlohmann::json StreamOf(const nlohmann::json& facts, const std::string& type);

// What an input holds of what was asked for.
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

// Whether the job has a warning whose code is not among `remarks`.
bool WarnsOfMoreThan(const std::set<std::string>& remarks, const nlohmann::json& job);

// The codes of the job's warnings; each must come with a sentence.
std::set<std::string> WarningsOf(const nlohmann::json& job);
// The warnings that a good H.264/AAC output gets although nothing is wrong: what the input does not
// hold, and what cannot stay as it is.
std::set<std::string> RemarksOn(Contents contents);

// A picture no larger than this is wanted.
struct Box {
  int width = 0;
  int height = 0;
};

// `output` must show and sound as the fixture does: streams, every frame, times, size on screen,
// upright, square samples, colours, sound and picture together.
void ExpectSameMedia(const std::filesystem::path& output, const fixtures::Fixture& fixture,
                     Box box);

// `picture` must be a still picture of the fixture, `width` wide if the fixture is not smaller.
void ExpectPosterOf(const std::filesystem::path& picture, const fixtures::Fixture& fixture,
                    int width);

// The size on screen that a picture has when scaled down to fit into the box.
Box Fitted(int width, int height, Box box);

}  // namespace millrace::harness
