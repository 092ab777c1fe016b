#pragma once

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <ostream>
#include <stdexcept>
#include <string>
#include <vector>

// The media fixtures. Link millrace_fixtures, which makes the files before the test is built, and
// defines MILLRACE_FIXTURE_DIR and MILLRACE_FIXTURE_MANIFEST.

namespace millrace::fixtures {

// The expected end of a job with a fixture; the manifest's `expected_values` explain each.
enum class Expected { kOk, kUnsupported, kCorrupt };

struct Fixture {
  std::string name;
  std::string what;
  Expected expected = Expected::kOk;
  std::vector<std::string> made_from;  // names of the fixtures it is derived from
  std::vector<std::string> errors;     // any of these error codes is right; empty for kOk
  bool salvage = false;                // success with a warning is right, too
  double tolerance_seconds = 0;        // of every time in `facts`
  int tolerance_frames = 0;            // of every count of frames there
  nlohmann::json facts;                // as measured; README.md of media-fixtures lists the fields

  // The streams of one type ("video", "audio", "subtitle", "data"), cover art left out.
  std::vector<nlohmann::json> Streams(const std::string& type) const {
    std::vector<nlohmann::json> found;
    for (const auto& stream : facts.value("streams", nlohmann::json::array())) {
      if (stream["type"] == type && !stream.value("attached_pic", false)) found.push_back(stream);
    }
    return found;
  }
};

inline void PrintTo(const Fixture& fixture, std::ostream* out) { *out << fixture.name; }

// Throws std::runtime_error if there is no such fixture.
inline std::filesystem::path FixturePath(const std::string& name) {
  std::filesystem::path path = std::filesystem::path(MILLRACE_FIXTURE_DIR) / name;
  if (!std::filesystem::exists(path)) throw std::runtime_error("no fixture " + path.string());
  return path;
}

// Throws std::runtime_error or nlohmann::json::exception if the manifest is not as it should be.
inline std::vector<Fixture> LoadManifest() {
  const auto manifest = nlohmann::json::parse(std::ifstream(MILLRACE_FIXTURE_MANIFEST));
  std::vector<Fixture> fixtures;
  for (const auto& entry : manifest.at("fixtures")) {
    Fixture fixture;
    fixture.name = entry.at("name");
    fixture.what = entry.at("what");
    const std::string expected = entry.at("expected");
    if (expected == "unsupported") {
      fixture.expected = Expected::kUnsupported;
    } else if (expected == "corrupt") {
      fixture.expected = Expected::kCorrupt;
    } else if (expected != "ok") {
      throw std::runtime_error(fixture.name + ": unknown expectation " + expected);
    }
    fixture.made_from = entry.value("made_from", std::vector<std::string>());
    fixture.errors = entry.value("errors", std::vector<std::string>());
    fixture.salvage = entry.value("salvage", false);
    fixture.tolerance_seconds = entry.at("tolerance_seconds");
    fixture.tolerance_frames = entry.value("tolerance_frames", 0);
    fixture.facts = entry.at("facts");
    fixtures.push_back(std::move(fixture));
  }
  return fixtures;
}

}  // namespace millrace::fixtures
