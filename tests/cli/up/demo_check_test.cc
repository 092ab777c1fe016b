#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/up/demo.h"

namespace millrace::cli {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const json kVideo = {{"kind", "video"}};
const json kAudio = {{"kind", "audio"}};
const json kCover = {{"kind", "video"}, {"attached_picture", true}};

json Job(const json& streams, double seconds) {
  return {{"input", {{"media", {{"duration_seconds", seconds}, {"streams", streams}}}}},
          {"warnings", json::array()}};
}

DownloadedFile Mp4(double seconds) {
  return {{{"path", "web.mp4"},
           {"media_type", "video/mp4"},
           {"bytes", 10},
           {"duration_seconds", seconds},
           {"video", {{"width", 1280}, {"height", 720}}},
           {"audio", {{"channels", 2}}}},
          "web.mp4"};
}

TEST(DemoCheck, AcceptsOutputsThatMatchTheInput) {
  EXPECT_THAT(CheckDownloads(Job({kVideo, kAudio}, 10), {Mp4(10.04)}), IsEmpty());
}

TEST(DemoCheck, FindsAMissingStream) {
  DownloadedFile file = Mp4(10);
  file.file["audio"] = nullptr;
  EXPECT_THAT(CheckDownloads(Job({kVideo, kAudio}, 10), {file}),
              ElementsAre("web.mp4 lacks the audio of the input"));
}

TEST(DemoCheck, DoesNotTakeCoverArtForVideo) {
  DownloadedFile file = Mp4(10);
  file.file["video"] = nullptr;
  EXPECT_THAT(CheckDownloads(Job({kCover, kAudio}, 10), {file}), IsEmpty());
}

TEST(DemoCheck, FindsAWrongDurationUnlessTheJobWarned) {
  json job = Job({kVideo, kAudio}, 10);
  EXPECT_THAT(CheckDownloads(job, {Mp4(9)}), ElementsAre(HasSubstr("lasts 9.00 s")));
  job["warnings"] = {{{"code", "truncated_input"}, {"detail", "the input ends early"}}};
  EXPECT_THAT(CheckDownloads(job, {Mp4(9)}), IsEmpty());
}

TEST(DemoCheck, FindsEmptyAndOversizedFiles) {
  DownloadedFile file = Mp4(10);
  file.file["bytes"] = 0;
  file.file["video"]["height"] = 1080;
  EXPECT_THAT(CheckDownloads(Job({kVideo, kAudio}, 10), {file}),
              ElementsAre("web.mp4 is empty", HasSubstr("1280x1080")));
}

TEST(DemoCheck, EncodesOnlySoundWithoutAPicture) {
  EXPECT_EQ(DemoOutputs({{"streams", {kCover, kAudio}}}),
            json({{{"name", "audio"}, {"preset", "audio-aac"}}}));
  EXPECT_EQ(DemoOutputs({{"streams", {kVideo}}}).size(), 2);
  EXPECT_EQ(DemoOutputs(nullptr).size(), 2);
}

}  // namespace
}  // namespace millrace::cli
