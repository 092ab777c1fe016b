// Sends every fixture through the encoder, and reads the outputs with ffprobe and ffmpeg.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <fstream>

#include "media-fixtures/facts.h"
#include "tests/transcoder/encode/encode_task.h"

namespace millrace::encode {
namespace {

using fixtures::Expected;
using fixtures::Fixture;

std::vector<Fixture> AllFixtures() {
  std::vector<Fixture> all = fixtures::LoadManifest();
  // Leaves out a day of black, which is for the long tests of the service.
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
  EXPECT_FALSE(ended.error["context"].value("stage", "").empty()) << ended.error;
}

std::string TestNameOf(const testing::TestParamInfo<Fixture>& info) {
  std::string name = info.param.name;
  std::ranges::replace_if(
      name, [](unsigned char each) { return std::isalnum(each) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(Encode, EveryFixture, testing::ValuesIn(AllFixtures()), TestNameOf);

// The error and place of each broken fixture; failures are grouped by them.
struct Breaks {
  const char* fixture;
  const char* code;
  const char* stage;
  const char* codec;  // "": it was not known yet
};

void PrintTo(const Breaks& breaks, std::ostream* out) { *out << breaks.fixture; }

class BrokenFixture : public testing::TestWithParam<Breaks> {};

TEST_P(BrokenFixture, NamesTheStageAndTheCodecThatFailed) {
  const Breaks& expected = GetParam();
  TaskRunner runner;
  const Ended ended = runner.Run(fixtures::FixturePath(expected.fixture),
                                 {MediaOutput(Container::kMp4, FastVideo(), {})});
  ASSERT_FALSE(ended.succeeded);
  const nlohmann::json context = ended.error.value("context", nlohmann::json::object());
  EXPECT_EQ(ended.error["code"], expected.code);
  EXPECT_EQ(context.value("stage", ""), expected.stage) << context;
  EXPECT_EQ(context.value("codec", ""), expected.codec) << context;
  EXPECT_EQ(context.contains("stream"), *expected.codec != '\0') << context;
}

INSTANTIATE_TEST_SUITE_P(
    Encode, BrokenFixture,
    testing::Values(Breaks{"unsupported-encrypted.mp4", "encrypted_input", "decode", "h264"},
                    Breaks{"unsupported-codec.mp4", "no_decoder", "decode", "vvc1"},
                    Breaks{"unsupported-subtitles-only.mkv", "no_streams", "probe", ""},
                    Breaks{"truncated-no-moov.mp4", "corrupt_media", "open", ""},
                    Breaks{"header-only.mkv", "corrupt_media", "open", ""},
                    Breaks{"header-only.mp4", "corrupt_media", "demux", "h264"},
                    Breaks{"empty.mp4", "empty_input", "open", ""},
                    Breaks{"garbage.mp4", "not_media", "open", ""},
                    Breaks{"hostile-concat.mp4", "unsupported_format", "open", ""},
                    Breaks{"audio-pcm.wav", "no_matching_streams", "probe", ""}),
    [](const auto& info) {
      std::string name = info.param.fixture;
      std::ranges::replace_if(
          name, [](unsigned char each) { return std::isalnum(each) == 0; }, '_');
      return name;
    });

// Every byte of the pictures is damaged: nothing can be decoded, from the first packet on.
TEST(FailurePlace, NamesTheFirstDamageAndFfmpegsWordsForIt) {
  TempDir folder;
  const std::filesystem::path damaged = folder.path() / "damaged.webm";
  std::filesystem::copy_file(fixtures::FixturePath("webm-vp9-opus.webm"), damaged);
  {
    std::fstream file(damaged, std::ios::in | std::ios::out | std::ios::binary);
    std::string bytes((std::istreambuf_iterator<char>(file)), {});
    // VP9's frame marker and sync code are the first bytes of every key frame.
    for (size_t at = 0; (at = bytes.find("\x49\x83\x42", at)) != std::string::npos; ++at) {
      bytes[at] = '\0';
    }
    file.seekp(0);
    file.write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
  }
  TaskRunner runner;
  const Ended ended = runner.Run(damaged, {MediaOutput(Container::kMp4, FastVideo(), {})});
  ASSERT_FALSE(ended.succeeded);
  EXPECT_EQ(ended.error["code"], "corrupt_media");
  const nlohmann::json& context = ended.error["context"];
  EXPECT_EQ(context["stage"], "decode");
  EXPECT_EQ(context["codec"], "vp9");
  EXPECT_EQ(context["stream"], 0);
  EXPECT_NEAR(context["pts_seconds"].get<double>(), 0, 0.1);
  EXPECT_GT(context["byte_offset"].get<int64_t>(), 0);
  EXPECT_TRUE(context["ffmpeg"].get<std::string>().starts_with("vp9: ")) << context;
}

// The encoder is named where it is the encoder that fails, not the codec of the input.
TEST(FailurePlace, NamesTheCodecThatWasToBeMade) {
  TaskRunner runner;
  VideoSpec tiny = FastVideo(VideoCodec::kAv1);
  tiny.height_px = 32;
  const Ended ended = runner.Run(fixtures::FixturePath("video-only-h264.mp4"),
                                 {MediaOutput(Container::kMp4, tiny, {})});
  ASSERT_FALSE(ended.succeeded);
  const nlohmann::json& context = ended.error["context"];
  EXPECT_EQ(context["stage"], "encode");
  EXPECT_EQ(context["codec"], "av1");
  EXPECT_TRUE(context.contains("pts_seconds")) << context;
}

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
