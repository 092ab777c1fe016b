// Every fixture through the encoder, and what came out read by ffprobe and ffmpeg.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "media-fixtures/facts.h"
#include "tests/transcoder/encode_task.h"

namespace millrace::encode {
namespace {

using fixtures::Expected;
using fixtures::Fixture;

std::vector<Fixture> AllFixtures() {
  std::vector<Fixture> all = fixtures::LoadManifest();
  // A day of black is for the long tests of the service.
  std::erase_if(all, [](const Fixture& fixture) { return fixture.name == "black-24h.mp4"; });
  return all;
}

class EveryFixture : public testing::TestWithParam<Fixture> {};

void ExpectRisingProgress(const Ended& ended) {
  int last = 0;
  for (const Progress& progress : ended.progress) {
    EXPECT_GE(progress.percent, last);
    EXPECT_LE(progress.percent, 99);
    last = progress.percent;
  }
}

void ExpectPicture(const nlohmann::json& wanted, const nlohmann::json& made) {
  EXPECT_EQ(made["frames"], wanted["frames"]);
  const double scale = std::min(1.0, 180.0 / wanted["height"].get<double>());
  EXPECT_NEAR(made["width"].get<double>(), wanted["width"].get<double>() * scale, 1.01);
  EXPECT_NEAR(made["height"].get<double>(), wanted["height"].get<double>() * scale, 1.01);
  EXPECT_EQ(made["rotation"], 0);
  EXPECT_EQ(made["sar"], "1:1");
}

nlohmann::json StreamOf(const nlohmann::json& facts, const std::string& type) {
  for (const auto& stream : facts.value("streams", nlohmann::json::array())) {
    if (stream["type"] == type) return stream;
  }
  return nullptr;
}

void ExpectTheSameMedia(const Fixture& fixture, const std::filesystem::path& file) {
  const nlohmann::json made = fixtures::MeasureFacts(file);
  const auto pictures = fixture.Streams("video");
  const auto sounds = fixture.Streams("audio");
  const nlohmann::json picture = StreamOf(made, "video");
  ASSERT_EQ(picture.is_null(), pictures.empty());
  EXPECT_EQ(StreamOf(made, "audio").is_null(), sounds.empty());
  if (!pictures.empty()) ExpectPicture(pictures.front(), picture);
  EXPECT_NEAR(made["seconds"].get<double>(), fixture.facts["seconds"].get<double>(), 0.05);
  EXPECT_NEAR(made["start_seconds"].get<double>(), 0, 0.03);
  if (fixture.facts.contains("sync")) {
    const fixtures::SyncMarks marks = fixtures::MeasureSync(file);
    EXPECT_EQ(marks.flashes.size(), fixture.facts["sync"]["flashes"].size());
    EXPECT_LE(marks.WorstOffset(), 0.04);
  }
  if (fixture.facts.contains("corners")) {
    EXPECT_EQ(nlohmann::json(fixtures::MeasureCorners(file)), fixture.facts["corners"]);
  }
}

TEST_P(EveryFixture, BecomesWhatItsManifestExpects) {
  const Fixture& fixture = GetParam();
  TaskRunner runner;
  OutputSpec output = Mp4();
  output.video->height_px = 180;
  const Ended ended = runner.Run(fixtures::FixturePath(fixture.name), {output});
  ExpectRisingProgress(ended);
  if (fixture.expected == Expected::kOk) {
    ASSERT_TRUE(ended.succeeded) << ended.error;
    ExpectTheSameMedia(fixture, runner.PathOf(*ended.Find("out")));
    return;
  }
  if (ended.succeeded) {
    EXPECT_TRUE(fixture.salvage) << "a false success";
    EXPECT_TRUE(ended.Warns("input_truncated") || ended.Warns("decode_errors"));
    return;
  }
  EXPECT_NE(std::ranges::find(fixture.errors, ended.error["code"].get<std::string>()),
            fixture.errors.end())
      << ended.error;
}

std::string TestNameOf(const testing::TestParamInfo<Fixture>& info) {
  std::string name = info.param.name;
  std::ranges::replace_if(
      name, [](unsigned char each) { return std::isalnum(each) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Encode, EveryFixture, testing::ValuesIn(AllFixtures()), TestNameOf);

// Real files, where the developer has them: the environment names their folder.
TEST(RealMedia, BecomesWhatItsManifestExpects) {
  const char* folder = std::getenv("MILLRACE_MEDIA_DIR");
  if (folder == nullptr) GTEST_SKIP() << "MILLRACE_MEDIA_DIR is not set";
  const std::filesystem::path media(folder);
  const auto manifest = nlohmann::json::parse(std::ifstream(media / "MANIFEST.json"));
  for (const auto& entry : manifest.at("files")) {
    SCOPED_TRACE(entry["name"]);
    TaskRunner runner;
    OutputSpec output = Mp4();
    output.video->height_px = 240;
    const Ended ended = runner.Run(media / entry["name"].get<std::string>(), {output});
    if (entry["expected"] != "ok") {
      EXPECT_TRUE(!ended.succeeded || ended.Warns("input_truncated") ||
                  ended.Warns("decode_errors"));
      continue;
    }
    ASSERT_TRUE(ended.succeeded) << ended.error;
    const OutputFile& file = *ended.Find("out");
    if (const auto frames = entry["decode"]["frames_out"]; !frames.is_null()) {
      EXPECT_EQ(file.video["frames"], frames);
    }
    EXPECT_NEAR(*file.duration_seconds, entry["decode"]["out_time_s"].get<double>(), 0.15);
  }
}

}  // namespace
}  // namespace millrace::encode
