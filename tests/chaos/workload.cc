#include "tests/chaos/workload.h"

#include "core/base/files.h"
#include "tests/fakes/fixtures.h"

namespace millrace::chaos {
namespace {

using nlohmann::json;

json Video(const std::string& name, int height, const std::string& speed = "ultrafast") {
  return {{"name", name},
          {"container", "mp4"},
          {"video", {{"codec", "h264"}, {"height", height}, {"crf", 30}, {"speed", speed}}},
          {"audio", {{"codec", "aac"}, {"bitrate", 64000}}}};
}

json Sound() { return {{"name", "sound"}, {"container", "m4a"}, {"audio", {{"codec", "aac"}}}}; }

json Picture() {
  return {{"name", "poster"}, {"thumbnails", {{"count", 1}, {"format", "png"}, {"width", 64}}}};
}

json Copy() { return {{"name", "copy"}, {"preset", "remux-mp4"}}; }

JobKind Kind(const std::string& fixture, const std::string& what, json outputs, int weight,
             std::vector<std::string> codes = {}) {
  return {.name = fixture + " to " + what,
          .media = fixtures::FixturePath(fixture),
          .outputs = std::move(outputs),
          .weight = weight,
          .codes = std::move(codes)};
}

// Returns a box that players skip: length, type, content.
std::string FreeBox(const std::string& token) {
  const auto size = static_cast<uint32_t>(8 + token.size());
  std::string box;
  for (const int shift : {24, 16, 8, 0}) box += static_cast<char>(size >> shift & 0xff);
  return box + "free" + token;
}

}  // namespace

std::vector<JobKind> AllJobKinds() {
  std::vector<JobKind> kinds = {
      Kind("tiny-16x16.mp4", "video", json::array({Video("web", 16)}), 30),
      Kind("tiny-16x16.mp4", "a copy", json::array({Copy()}), 12),
      Kind("single-frame.mp4", "video", json::array({Video("web", 90)}), 15),
      Kind("single-frame.mp4", "a picture", json::array({Picture()}), 10),
      Kind("audio-aac.m4a", "sound", json::array({Sound()}), 10),
      Kind("audio-5-1-aac.m4a", "a copy", json::array({Copy()}), 6),
      Kind("video-only-h264.mp4", "video and picture", json::array({Video("web", 90), Picture()}),
           8),
      // Planned as three tasks if the fleet has room (--task-overhead is 0).
      Kind("sdr-720p-aac.mp4", "video, sound and a copy",
           json::array({Video("web", 120), Sound(), Copy()}), 8),
      Kind("rotated-90.mp4", "two videos", json::array({Video("small", 60), Video("web", 120)}), 6),
      // Takes some seconds, so that faults strike in the middle of an encode.
      Kind("sdr-720p-aac.mp4", "video, slowly", json::array({Video("web", 240, "slow")}), 3),
  };
  // The manifest of the fixtures says how each bad one must fail.
  for (const fixtures::Fixture& fixture : fixtures::LoadManifest()) {
    const bool salvaged = fixture.salvage || fixture.name.starts_with("header-only");
    if (fixture.expected == fixtures::Expected::kOk || salvaged) continue;
    kinds.push_back(
        Kind(fixture.name, "nothing", json::array({Video("web", 90)}), 1, fixture.errors));
  }
  return kinds;
}

std::string UniqueMedia(const JobKind& kind, const std::string& token) {
  std::string media = ReadWholeFile(kind.media);
  if (media.empty()) return media;  // an empty file is the defect under test
  return media + FreeBox(token);
}

KindPicker::KindPicker(const std::vector<JobKind>& kinds) : kinds_(kinds) {
  std::vector<double> weights;
  for (const JobKind& kind : kinds) weights.push_back(kind.weight);
  draw_ = std::discrete_distribution<size_t>(weights.begin(), weights.end());
}

const JobKind& KindPicker::Pick(std::mt19937_64& random) { return kinds_.at(draw_(random)); }

}  // namespace millrace::chaos
