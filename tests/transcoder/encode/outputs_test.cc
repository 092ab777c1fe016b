// Tests each thing that a spec can ask for (codecs, containers, copies, still pictures, clips), and
// what is refused.
#include <fcntl.h>
#include <gtest/gtest.h>

#include "media-fixtures/facts.h"
#include "tests/transcoder/encode/encode_task.h"
#include "transcoder/encode/pipeline.h"
#include "transcoder/encode/stages/video_stage.h"

namespace millrace::encode {
namespace {

using fixtures::FixturePath;
using fixtures::MeasureFacts;

nlohmann::json Stream(const nlohmann::json& facts, const std::string& type) {
  for (const auto& stream : facts.at("streams")) {
    if (stream["type"] == type) return stream;
  }
  return nullptr;
}

struct Format {
  const char* name;
  Container container;
  std::optional<VideoCodec> video;
  AudioCodec audio;
  const char* video_name;
  const char* audio_name;
};

class EveryFormat : public testing::TestWithParam<Format> {};

TEST_P(EveryFormat, HoldsAllFramesAndSeconds) {
  const Format& format = GetParam();
  TaskRunner runner;
  std::optional<VideoSpec> video;
  if (format.video) video = FastVideo(*format.video);
  const Ended ended = runner.Run(FixturePath("mkv-h264-aac.mkv"),
                                 {MediaOutput(format.container, video, AudioSpec{format.audio})});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  const nlohmann::json made = MeasureFacts(runner.PathOf(*ended.Find("out")));
  EXPECT_EQ(Stream(made, "audio")["codec"], format.audio_name);
  EXPECT_NEAR(made["seconds"].get<double>(), 2.02, 0.06);
  if (!format.video) {
    EXPECT_TRUE(Stream(made, "video").is_null());
    return;
  }
  EXPECT_EQ(Stream(made, "video")["codec"], format.video_name);
  EXPECT_EQ(Stream(made, "video")["frames"], 50);
  EXPECT_EQ(Stream(made, "video")["width"], 320);
}

constexpr Format kFormats[] = {
    {"H264Mp4", Container::kMp4, VideoCodec::kH264, AudioCodec::kAac, "h264", "aac"},
    {"HevcMp4", Container::kMp4, VideoCodec::kHevc, AudioCodec::kAac, "hevc", "aac"},
    {"Av1Mp4", Container::kMp4, VideoCodec::kAv1, AudioCodec::kOpus, "av1", "opus"},
    {"Vp9Webm", Container::kWebm, VideoCodec::kVp9, AudioCodec::kOpus, "vp9", "opus"},
    {"Av1Webm", Container::kWebm, VideoCodec::kAv1, AudioCodec::kOpus, "av1", "opus"},
    {"H264Mkv", Container::kMkv, VideoCodec::kH264, AudioCodec::kMp3, "h264", "mp3"},
    {"CopyMp4", Container::kMp4, VideoCodec::kCopy, AudioCodec::kCopy, "h264", "aac"},
    {"CopyMkv", Container::kMkv, VideoCodec::kCopy, AudioCodec::kOpus, "h264", "opus"},
    {"AacM4a", Container::kM4a, std::nullopt, AudioCodec::kAac, "", "aac"},
    {"Mp3", Container::kMp3, std::nullopt, AudioCodec::kMp3, "", "mp3"},
    {"OpusOgg", Container::kOgg, std::nullopt, AudioCodec::kOpus, "", "opus"},
};
INSTANTIATE_TEST_SUITE_P(Encode, EveryFormat, testing::ValuesIn(kFormats),
                         [](const auto& info) { return std::string(info.param.name); });

TEST(Outputs, DecodeOnceForManyRenditionsAndPictures) {
  TaskRunner runner;
  OutputSpec big = Mp4();
  OutputSpec small = Mp4();
  small.name = "small";
  small.video->height_px = 90;
  const Ended ended = runner.Run(FixturePath("av-sync.mp4"), {big, small, Poster(3)});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  ASSERT_EQ(ended.manifest.files.size(), 5U);
  EXPECT_EQ(ended.Find("out")->video["frames"], ended.Find("small")->video["frames"]);
  EXPECT_EQ(ended.Find("small")->video["height"], 90);
  EXPECT_EQ(ended.manifest.files[2].path, "poster-001.jpg");
  EXPECT_EQ(ended.manifest.files[4].path, "poster-003.jpg");
  // The middles of three equal parts of ten seconds.
  EXPECT_NEAR(ended.manifest.files[2].video["at_seconds"].get<double>(), 1.667, 0.05);
  EXPECT_NEAR(ended.manifest.files[4].video["at_seconds"].get<double>(), 8.333, 0.05);
}

TEST(Outputs, KeepHdrWhereTheCodecCan) {
  for (const VideoCodec codec : {VideoCodec::kHevc, VideoCodec::kVp9, VideoCodec::kAv1}) {
    SCOPED_TRACE(NameOf(codec));
    TaskRunner runner;
    const Ended ended = runner.Run(FixturePath("hdr10.mp4"),
                                   {MediaOutput(Container::kMp4, FastVideo(codec), std::nullopt)});
    ASSERT_TRUE(ended.succeeded) << ended.error;
    const nlohmann::json made = Stream(MeasureFacts(runner.PathOf(*ended.Find("out"))), "video");
    EXPECT_EQ(made["pix_fmt"], "yuv420p10le");
    EXPECT_EQ(made["color"]["transfer"], "smpte2084");
    EXPECT_EQ(made["color"]["primaries"], "bt2020");
    EXPECT_FALSE(ended.Warns("hdr_tone_mapped"));
  }
}

TEST(Outputs, ToneMapHdrForEightBits) {
  TaskRunner runner;
  const Ended ended = runner.Run(FixturePath("hlg.mp4"), {Mp4()});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  EXPECT_TRUE(ended.Warns("hdr_tone_mapped"));
  const nlohmann::json made = Stream(MeasureFacts(runner.PathOf(*ended.Find("out"))), "video");
  EXPECT_EQ(made["color"]["transfer"], "bt709");
  EXPECT_EQ(made["pix_fmt"], "yuv420p");
}

TEST(Outputs, AlwaysCarryColourTags) {
  for (const auto& [name, matrix] :
       {std::pair("color-untagged.mp4", "smpte170m"), std::pair("color-bt709.mp4", "bt709")}) {
    SCOPED_TRACE(name);
    TaskRunner runner;
    const Ended ended = runner.Run(FixturePath(name), {Mp4()});
    ASSERT_TRUE(ended.succeeded) << ended.error;
    EXPECT_EQ(Stream(MeasureFacts(runner.PathOf(*ended.Find("out"))), "video")["color"]["matrix"],
              matrix);
  }
}

TEST(Outputs, PlaceKeyframesByTime) {
  TaskRunner runner;
  OutputSpec output = Mp4();
  output.video->gop_seconds = 1;
  const Ended ended = runner.Run(FixturePath("vfr-h264.mp4"), {output});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  const nlohmann::json made = Stream(MeasureFacts(runner.PathOf(*ended.Find("out"))), "video");
  EXPECT_GE(made["keyframes"], 4);
  EXPECT_EQ(made["vfr"], true);
}

TEST(Outputs, MakeAConstantRateWhenAsked) {
  struct Case {
    const char* name;
    double fps;
    int frames;
    double seconds;
  };
  for (const Case& each : {Case{"vfr-h264.mp4", 10, 40, 4}, Case{"av-sync.mp4", 25, 250, 10},
                           Case{"interlaced-mpeg2-tff.mpg", 10, 20, 2}}) {
    SCOPED_TRACE(each.name);
    TaskRunner runner;
    OutputSpec output = Mp4();
    output.video->fps = each.fps;
    const Ended ended = runner.Run(FixturePath(each.name), {output});
    ASSERT_TRUE(ended.succeeded) << ended.error;
    const nlohmann::json facts = MeasureFacts(runner.PathOf(*ended.Find("out")));
    const nlohmann::json made = Stream(facts, "video");
    EXPECT_NEAR(facts["seconds"].get<double>(), each.seconds, 0.15);
    EXPECT_EQ(made["frames"], each.frames);
    EXPECT_EQ(made["vfr"], false);
  }
}

TEST(Outputs, KeepTheLastFrameOfInterlacedPicturesAsLongAsTheOthers) {
  TaskRunner runner;
  const Ended ended = runner.Run(FixturePath("interlaced-mpeg2-tff.mpg"),
                                 {MediaOutput(Container::kMp4, FastVideo(), std::nullopt)});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  const nlohmann::json facts = MeasureFacts(runner.PathOf(*ended.Find("out")));
  EXPECT_NEAR(facts["seconds"].get<double>(), 2, 0.01);
}

TEST(Outputs, DownmixAndResampleWhenAsked) {
  TaskRunner runner;
  AudioSpec audio{.codec = AudioCodec::kAac};
  audio.channels = 2;
  audio.sample_rate_hz = 44100;
  const Ended ended = runner.Run(FixturePath("surround-5-1.mp4"),
                                 {MediaOutput(Container::kM4a, std::nullopt, audio)});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  EXPECT_EQ(ended.Find("out")->audio["channels"], 2);
  EXPECT_EQ(ended.Find("out")->audio["sample_rate"], 44100);
}

TEST(Clips, AreCutToTheFrameAndTheSample) {
  TaskRunner runner;
  const Ended ended = runner.Run(FixturePath("av-sync.mp4"), {Mp4()},
                                 ClipSpec{.start_seconds = 2.5, .duration_seconds = 3});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  const std::filesystem::path file = runner.PathOf(*ended.Find("out"));
  EXPECT_NEAR(MeasureFacts(file)["seconds"].get<double>(), 3, 0.03);
  const fixtures::SyncMarks marks = fixtures::MeasureSync(file);
  ASSERT_EQ(marks.flashes.size(), 3U);
  EXPECT_NEAR(marks.flashes.front(), 0.5, 0.04);
  EXPECT_LE(marks.WorstOffset(), 0.04);
}

TEST(Clips, BehindTheEndAreAnErrorOfTheRequest) {
  TaskRunner runner;
  const Ended ended = runner.Run(FixturePath("video-only-h264.mp4"), {Mp4()},
                                 ClipSpec{.start_seconds = 100, .duration_seconds = 1});
  EXPECT_EQ(ended.error["code"], "no_matching_streams") << ended.error;
}

TEST(Thumbnails, ComeFromCoverArtWhereThereIsNoPicture) {
  TaskRunner runner;
  const Ended ended = runner.Run(FixturePath("audio-aac-cover.m4a"), {Mp4(), Poster()});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  EXPECT_NE(ended.Find("poster"), nullptr);
  EXPECT_TRUE(ended.Find("out")->video.is_null());
  EXPECT_TRUE(ended.Warns("no_video"));
}

TEST(Thumbnails, FallBackToTheLastPictureWhenTheHeaderLies) {
  TaskRunner runner;
  const Ended ended = runner.Run(FixturePath("lying-duration.mkv"), {Poster()});
  ASSERT_TRUE(ended.succeeded) << ended.error;
  EXPECT_NEAR(ended.Find("poster")->video["at_seconds"].get<double>(), 1.98, 0.05);
}

TEST(Refusals, NameCodecAndContainerOfAnImpossibleCopy) {
  TaskRunner runner;
  const Ended ended =
      runner.Run(FixturePath("sdr-720p-aac.mp4"),
                 {MediaOutput(Container::kWebm, FastVideo(VideoCodec::kCopy), std::nullopt)});
  EXPECT_EQ(ended.error["code"], "unsupported_format");
  EXPECT_EQ(ended.error["context"]["codec"], "h264");
  EXPECT_EQ(ended.error["context"]["container"], "webm");
}

TEST(Refusals, SayWhenNothingCanBeMade) {
  TaskRunner runner;
  const Ended ended = runner.Run(
      FixturePath("video-only-h264.mp4"),
      {MediaOutput(Container::kMp3, std::nullopt, AudioSpec{.codec = AudioCodec::kMp3})});
  EXPECT_EQ(ended.error["code"], "no_matching_streams");
}

TEST(Determinism, TheSameTaskGivesTheSameBytes) {
  TaskRunner runner;
  const Ended first = runner.Run(FixturePath("sdr-720p-aac.mp4"), {Mp4(), Poster()});
  const Ended second = runner.Run(FixturePath("sdr-720p-aac.mp4"), {Mp4(), Poster()});
  ASSERT_TRUE(first.succeeded && second.succeeded);
  EXPECT_EQ(first.Find("out")->sha256, second.Find("out")->sha256);
  EXPECT_EQ(first.Find("poster")->sha256, second.Find("poster")->sha256);
}

TEST(Report, BeginsWithStartedAndMediaAndEndsWithOneVerdict) {
  TaskRunner runner;
  const Ended good = runner.Run(FixturePath("single-frame.mp4"), {Mp4()});
  EXPECT_EQ(good.types.front(), "started");
  EXPECT_EQ(good.types.back(), "result");
  EXPECT_EQ(std::ranges::count(good.types, "media"), 1);
  const Ended bad = runner.Run(FixturePath("garbage.mp4"), {Mp4()});
  EXPECT_EQ(bad.types.back(), "error");
  EXPECT_EQ(std::ranges::count(bad.types, "result"), 0);
}

// An error in any stage ends all of them, and says where it was.

std::string FailingStage(const Ended& ended) {
  EXPECT_FALSE(ended.succeeded);
  return ended.error["context"].value("stage", "");
}

TEST(Failures, OfTheDemuxerEndTheTask) {
  InputFile input(FixturePath("sdr-720p-aac.mp4"));
  TaskRunner runner;
  EncodeSpec spec{.outputs = {Mp4()}};
  const TaskDocument task = runner.Document(FixturePath("sdr-720p-aac.mp4"), spec.outputs);
  const Plan plan = MakePlan(input, spec);
  Pipeline pipeline(input, plan, {.output_dir = task.output_dir, .threads = 1});
  // Reading a folder fails, as a bad disk would.
  const UniqueFd folder(open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  ASSERT_GE(dup2(folder.get(), input.io().fd()), 0);
  try {
    pipeline.Run([](const auto&) {});
    FAIL() << "nothing was read and nothing was said";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInputUnreadable);
    EXPECT_EQ(error.context()["stage"], "demux");
  }
}

TEST(Failures, OfADecoderEndTheTask) {
  TaskRunner runner;
  EXPECT_EQ(FailingStage(runner.Run(FixturePath("unsupported-encrypted.mp4"), {Mp4()})), "decode");
}

TEST(Failures, OfAFilterEndTheStage) {
  FrameQueue in(1);
  std::atomic<bool> tone_mapped{false};
  VideoStage stage(
      {}, in, [](const FramePtr&) { return true; }, tone_mapped);
  FramePtr nonsense = MakeFrame();
  nonsense->format = AV_PIX_FMT_NONE;
  nonsense->time_base = {1, 25};
  in.Push(std::move(nonsense));
  EXPECT_THROW(stage.Run(), Error);
}

TEST(Failures, OfAnEncoderEndTheTask) {
  TaskRunner runner;
  const Ended ended = runner.Run(
      FixturePath("tiny-16x16.mp4"),
      {MediaOutput(Container::kMp4, FastVideo(VideoCodec::kAv1), std::nullopt), Poster()});
  EXPECT_EQ(FailingStage(ended), "encode");
  EXPECT_EQ(ended.error["code"], "no_matching_streams");
}

TEST(Failures, OfAMuxerEndTheTask) {
  InputFile input(FixturePath("sdr-720p-aac.mp4"));
  EncodeSpec spec{.outputs = {Mp4()}};
  const Plan plan = MakePlan(input, spec);
  Pipeline pipeline(input, plan, {.output_dir = "/dev/null/nowhere", .threads = 1});
  try {
    pipeline.Run([](const auto&) {});
    FAIL() << "nothing was written and nothing was said";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kStorageError);
    EXPECT_EQ(error.context()["stage"], "mux");
  }
}

}  // namespace
}  // namespace millrace::encode
