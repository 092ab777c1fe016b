#include "tests/system/media_checks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "media-fixtures/facts.h"

namespace millrace::harness {
namespace {

using nlohmann::json;

constexpr double kSyncSeconds = 0.040;  // the largest shift of sound against the picture
// Allows for the padding of the last block of samples.
constexpr double kAudioLengthSeconds = 0.075;
// Allows for rounding to even sizes.
constexpr int kRoundingPx = 2;

void ExpectSameTiming(const json& made, const json& given) {
  const double frame_seconds =
      given["frames"] > 0 ? given["seconds"].get<double>() / given["frames"].get<double>() : 0;
  EXPECT_NEAR(made["seconds"], given["seconds"], std::max(frame_seconds, 0.05));
  EXPECT_EQ(made["vfr"], given["vfr"]) << "a variable frame rate is kept, and none is made up";
  if (made["vfr"] == true && given["vfr"] == true) {
    EXPECT_NEAR(made["least_gap_seconds"], given["least_gap_seconds"], 0.003);
    EXPECT_NEAR(made["most_gap_seconds"], given["most_gap_seconds"], 0.003);
  }
}

void ExpectSameColour(const json& made, const json& given) {
  for (const char* tag : {"primaries", "transfer", "matrix"}) {
    if (given["color"][tag] == "unknown" || given["color"][tag] == "gbr") continue;
    const json wanted = given["hdr"] == "none" ? given["color"][tag] : json("bt709");
    EXPECT_EQ(made["color"][tag], wanted) << tag;
  }
}

void ExpectSamePicture(const json& made, const json& given, Box box) {
  EXPECT_EQ(made["codec"], "h264");
  EXPECT_EQ(made["frames"], given["frames"]);
  EXPECT_EQ(made["rotation"], 0) << "the picture itself is turned upright";
  EXPECT_EQ(made["sar"], "1:1");
  EXPECT_EQ(made["scan"], "progressive");
  const Box wanted = Fitted(given["width"], given["height"], box);
  EXPECT_NEAR(made["width"], wanted.width, kRoundingPx);
  EXPECT_NEAR(made["height"], wanted.height, kRoundingPx);
  ExpectSameTiming(made, given);
  ExpectSameColour(made, given);
}

double Start(const json& stream) { return stream["start_seconds"]; }
double End(const json& stream) { return Start(stream) + stream["seconds"].get<double>(); }

void ExpectSameSound(const json& made, const json& given) {
  EXPECT_EQ(made["codec"], "aac");
  EXPECT_EQ(made["channels"], given["channels"]);
}

// Checks the sound against the picture. Silence may fill the time before sound that begins later.
void ExpectTogether(const json& video, const json& audio, const json& given_video,
                    const json& given_audio) {
  const double start = Start(audio) - Start(video);
  const double given_start = Start(given_audio) - Start(given_video);
  const bool is_filled = given_start > 0 && std::abs(start) <= kSyncSeconds;
  if (!is_filled) {
    EXPECT_NEAR(start, given_start, kSyncSeconds) << "sound has moved against the picture";
  }
  EXPECT_NEAR(End(audio) - Start(video), End(given_audio) - Start(given_video),
              kAudioLengthSeconds);
}

void ExpectSameMarks(const std::filesystem::path& output, const json& given) {
  const fixtures::SyncMarks marks = fixtures::MeasureSync(output);
  ASSERT_EQ(marks.flashes.size(), given["flashes"].size());
  ASSERT_EQ(marks.beeps.size(), marks.flashes.size());
  EXPECT_LE(marks.WorstOffset(), kSyncSeconds);
}

}  // namespace

json StreamOf(const json& facts, const std::string& type) {
  for (const json& stream : facts.value("streams", json::array())) {
    if (stream["type"] == type && !stream.value("attached_pic", false)) return stream;
  }
  return nullptr;
}

Contents ContentsOf(const fixtures::Fixture& fixture) {
  const json video = StreamOf(fixture.facts, "video");
  return {.video = !video.is_null(),
          .audio = !StreamOf(fixture.facts, "audio").is_null(),
          .hdr = !video.is_null() && video["hdr"] != "none",
          .header_lies =
              HeaderLies(fixture.facts["duration_seconds"], fixture.facts.value("seconds", 0.0))};
}

bool HeaderLies(const json& promised, double held) {
  return promised.is_number() && promised.get<double>() > held + std::max(1.0, held * 0.05);
}

std::set<std::string> WarningsOf(const json& job) {
  std::set<std::string> codes;
  for (const json& warning : job.at("warnings")) {
    codes.insert(warning.at("code"));
    EXPECT_GE(warning.at("detail").get<std::string>().size(), 10u) << warning.dump();
  }
  return codes;
}

bool WarnsOfMoreThan(const std::set<std::string>& remarks, const json& job) {
  return !std::ranges::includes(remarks, WarningsOf(job));
}

std::set<std::string> RemarksOn(Contents contents) {
  std::set<std::string> codes;
  if (!contents.audio) codes.insert("no_audio");
  if (!contents.video) codes.insert("no_video");
  if (contents.hdr) codes.insert("hdr_tone_mapped");
  if (contents.header_lies) codes.insert("duration_differs");
  return codes;
}

Box Fitted(int width, int height, Box box) {
  const double scale = std::min(
      {1.0, static_cast<double>(box.width) / width, static_cast<double>(box.height) / height});
  return {.width = static_cast<int>(std::lround(width * scale)),
          .height = static_cast<int>(std::lround(height * scale))};
}

void ExpectSameMedia(const std::filesystem::path& output, const fixtures::Fixture& fixture,
                     Box box) {
  const json facts = fixtures::MeasureFacts(output);
  SCOPED_TRACE(facts.dump());
  ASSERT_EQ(facts["readable"], true);
  const json video = StreamOf(facts, "video");
  const json audio = StreamOf(facts, "audio");
  const json given_video = StreamOf(fixture.facts, "video");
  const json given_audio = StreamOf(fixture.facts, "audio");
  ASSERT_EQ(video.is_null(), given_video.is_null());
  ASSERT_EQ(audio.is_null(), given_audio.is_null());
  if (!video.is_null()) ExpectSamePicture(video, given_video, box);
  if (!audio.is_null()) ExpectSameSound(audio, given_audio);
  if (!video.is_null() && !audio.is_null()) {
    ExpectTogether(video, audio, given_video, given_audio);
  } else if (!audio.is_null()) {
    EXPECT_NEAR(audio["seconds"], given_audio["seconds"], kAudioLengthSeconds);
  }
  if (fixture.facts.contains("sync")) ExpectSameMarks(output, fixture.facts["sync"]);
  if (fixture.facts.contains("corners")) {
    EXPECT_EQ(json(fixtures::MeasureCorners(output)), fixture.facts["corners"]);
  }
}

void ExpectPosterOf(const std::filesystem::path& picture, const fixtures::Fixture& fixture,
                    int width) {
  const json facts = fixtures::MeasureFacts(picture);
  SCOPED_TRACE(facts.dump());
  ASSERT_EQ(facts["readable"], true);
  ASSERT_EQ(facts["streams"].size(), 1u);
  const json& made = facts["streams"][0];
  const json given = StreamOf(fixture.facts, "video");
  EXPECT_EQ(made["codec"], "mjpeg");
  EXPECT_EQ(made["frames"], 1);
  const Box wanted = Fitted(given["width"], given["height"], {.width = width, .height = 1 << 20});
  EXPECT_NEAR(made["width"], wanted.width, kRoundingPx);
  EXPECT_NEAR(made["height"], wanted.height, kRoundingPx);
  if (fixture.facts.contains("corners")) {
    EXPECT_EQ(json(fixtures::MeasureCorners(picture)), fixture.facts["corners"]);
  }
}

}  // namespace millrace::harness
