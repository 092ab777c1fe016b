// Tests excerpts: cut by the real program in its sandbox, and read by ffprobe.
#include <gtest/gtest.h>

#include <fstream>

#include "media-fixtures/facts.h"
#include "media-fixtures/process.h"
#include "tests/transcoder/encode/encode_task.h"

namespace millrace::encode {
namespace {

using fixtures::FixturePath;
using fixtures::RunProcess;

class ExcerptTest : public testing::Test {
 protected:
  Ended Cut(const std::filesystem::path& input, const ExcerptSpec& about) {
    TaskDocument task = runner_.Document(input, {});
    task.kind = TaskKind::kExcerpt;
    task.excerpt = about;
    const std::filesystem::path document = folder_.path() / "task.json";
    std::ofstream(document) << ToJson(task);
    return ParseReport(RunProcess({MILLRACE_ENCODE, document}).out);
  }
  // Checks that the excerpt is valid and holds the moment; returns its facts.
  nlohmann::json Measure(const Ended& ended, double moment) {
    EXPECT_TRUE(ended.succeeded) << ended.error;
    const OutputFile* file = ended.Find("excerpt");
    if (file == nullptr) return {};
    EXPECT_EQ(file->path, "excerpt.mkv");
    EXPECT_LE(file->bytes, int64_t{32} << 20);
    nlohmann::json facts = fixtures::MeasureFacts(runner_.PathOf(*file));
    EXPECT_EQ(facts["readable"], true);
    const double start = facts["start_seconds"];
    EXPECT_LE(start, moment);
    EXPECT_GE(start + facts["seconds"].get<double>(), moment);
    return facts;
  }
  static ExcerptSpec AtPts(double seconds) { return {.pts_seconds = seconds, .media_seconds = {}}; }

  const TempDir folder_;
  TaskRunner runner_;
};

TEST_F(ExcerptTest, HoldsTheMomentAtWhichAnInputIsDamaged) {
  const nlohmann::json facts = Measure(Cut(FixturePath("bit-flipped.mp4"), AtPts(4.5)), 4.5);
  EXPECT_EQ(facts["streams"][0]["codec"], "h264");
}

TEST_F(ExcerptTest, HasPictureAndSoundInStep) {
  const Ended ended = Cut(FixturePath("av-sync.mp4"), AtPts(3));
  Measure(ended, 3);
  ASSERT_TRUE(ended.succeeded);
  const fixtures::SyncMarks marks = fixtures::MeasureSync(runner_.PathOf(*ended.Find("excerpt")));
  ASSERT_GE(marks.flashes.size(), 7U);
  EXPECT_LE(marks.WorstOffset(), 0.04);
}

// A day, one picture a second: the excerpt begins with the keyframe before it.
TEST_F(ExcerptTest, IsAShortPieceOfALongInput) {
  const nlohmann::json facts = Measure(Cut(FixturePath("black-24h.mp4"), AtPts(40000)), 40000);
  EXPECT_LE(facts["start_seconds"].get<double>(), 39995);
  EXPECT_LE(facts["seconds"].get<double>(), 300);
}

TEST_F(ExcerptTest, CountsMediaTimeFromTheFirstMomentOfTheInput) {
  const std::filesystem::path input = FixturePath("start-offset-ts.ts");
  const double start = fixtures::MeasureFacts(input)["start_seconds"];
  ASSERT_GT(start, 1);
  Measure(Cut(input, {.pts_seconds = {}, .media_seconds = 1}), start + 1);
}

TEST_F(ExcerptTest, StaysSmallHoweverManyBytesASecondHas) {
  const std::filesystem::path input = folder_.path() / "large.avi";
  ASSERT_EQ(RunProcess({"ffmpeg", "-loglevel", "error", "-f", "lavfi", "-i",
                        "testsrc2=s=640x480:r=25:d=5,noise=alls=60:allf=t", "-c:v", "huffyuv",
                        "-pix_fmt", "yuv422p", input})
                .exit_code,
            0);
  ASSERT_GT(std::filesystem::file_size(input), uintmax_t{50} << 20);
  const Ended ended = Cut(input, AtPts(3));
  Measure(ended, 3);
  ASSERT_TRUE(ended.succeeded);
  EXPECT_GT(ended.Find("excerpt")->bytes, int64_t{28} << 20);
}

TEST_F(ExcerptTest, FailsWhereTheInputHasNothing) {
  const Ended ended = Cut(FixturePath("av-sync.mp4"), AtPts(1e6));
  EXPECT_FALSE(ended.succeeded);
  EXPECT_EQ(ended.error["code"], "no_matching_streams");
  const Ended unread = Cut(FixturePath("garbage.mp4"), AtPts(1));
  EXPECT_EQ(unread.error["code"], "not_media");
}

TEST_F(ExcerptTest, IsCutAboutExactlyOneMoment) {
  EXPECT_EQ(Cut(FixturePath("av-sync.mp4"), {}).error["code"], "invalid_request");
  EXPECT_EQ(Cut(FixturePath("av-sync.mp4"), {.pts_seconds = 1, .media_seconds = 1}).error["code"],
            "invalid_request");
}

}  // namespace
}  // namespace millrace::encode
