#include "core/model/traits.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <string>

namespace millrace {
namespace {

TEST(Traits, KnowEveryCodecContainerAndPictureFormat) {
  for (const VideoCodec codec : {VideoCodec::kCopy, VideoCodec::kH264, VideoCodec::kHevc,
                                 VideoCodec::kVp9, VideoCodec::kAv1}) {
    EXPECT_EQ(TraitsOf(codec).codec, codec);
  }
  for (const AudioCodec codec :
       {AudioCodec::kCopy, AudioCodec::kAac, AudioCodec::kOpus, AudioCodec::kMp3}) {
    EXPECT_EQ(TraitsOf(codec).codec, codec);
  }
  for (const Container container : {Container::kMp4, Container::kWebm, Container::kMkv,
                                    Container::kM4a, Container::kMp3, Container::kOgg}) {
    EXPECT_EQ(TraitsOf(container).container, container);
  }
  for (const ImageFormat format : {ImageFormat::kJpeg, ImageFormat::kPng}) {
    EXPECT_EQ(TraitsOf(format).format, format);
  }
}

template <typename Rows>
void ExpectNamesDiffer(const Rows& rows) {
  std::set<std::string_view> names;
  for (const auto& row : rows) EXPECT_TRUE(names.insert(row.name).second) << row.name;
}

// A spec says which row it means by the name alone.
TEST(Traits, HaveOneRowForEachName) {
  ExpectNamesDiffer(AllVideoCodecs());
  ExpectNamesDiffer(AllAudioCodecs());
  ExpectNamesDiffer(AllContainers());
  ExpectNamesDiffer(AllImageFormats());
  ExpectNamesDiffer(AllSpeeds());
}

TEST(Traits, GiveEachEncoderAQualityOnItsScale) {
  for (const VideoCodecTraits& codec : AllVideoCodecs()) {
    if (codec.encoder == nullptr) continue;
    EXPECT_GT(codec.default_crf, 0) << codec.name;
    EXPECT_LT(codec.default_crf, codec.max_crf) << codec.name;
    EXPECT_GT(codec.cost, 0) << codec.name;
  }
}

TEST(Traits, LetEveryCodecIntoSomeContainer) {
  for (const VideoCodecTraits& codec : AllVideoCodecs()) {
    EXPECT_TRUE(std::ranges::any_of(AllContainers(), [&](const ContainerTraits& each) {
      return CanCarry(each.container, codec.codec);
    })) << codec.name;
  }
  for (const AudioCodecTraits& codec : AllAudioCodecs()) {
    EXPECT_TRUE(std::ranges::any_of(AllContainers(), [&](const ContainerTraits& each) {
      return CanCarry(each.container, codec.codec);
    })) << codec.name;
  }
}

TEST(Traits, KeepPicturesOutOfContainersForSound) {
  for (const ContainerTraits& each : AllContainers()) {
    EXPECT_EQ(each.video.empty(), each.video_media_type.empty()) << each.name;
    EXPECT_EQ(CanCarry(each.container, VideoCodec::kCopy), !each.video.empty()) << each.name;
  }
  EXPECT_FALSE(CanCarry(Container::kM4a, VideoCodec::kH264));
  EXPECT_FALSE(CanCarry(Container::kWebm, VideoCodec::kH264));
  EXPECT_FALSE(CanCarry(Container::kWebm, AudioCodec::kAac));
}

TEST(Traits, TellTheMediaTypeOfAFileWithAndWithoutPictures) {
  EXPECT_EQ(MediaTypeOf(Container::kWebm, true), "video/webm");
  EXPECT_EQ(MediaTypeOf(Container::kWebm, false), "audio/webm");
  EXPECT_EQ(MediaTypeOf(Container::kM4a, false), "audio/mp4");
  EXPECT_EQ(TraitsOf(ImageFormat::kJpeg).media_type, "image/jpeg");
}

TEST(Traits, GiveMoreChannelsMoreBits) {
  EXPECT_EQ(DefaultBitrateOf(AudioCodec::kAac, 2), 160'000);
  EXPECT_EQ(DefaultBitrateOf(AudioCodec::kAac, 6), 384'000);
  EXPECT_EQ(DefaultBitrateOf(AudioCodec::kOpus, 6), 288'000);
}

TEST(Traits, TakeAnUnknownSpeedForTheDefault) {
  EXPECT_EQ(SpeedNamed("veryfast").vp9_cpu_used, 6);
  EXPECT_EQ(SpeedNamed("warp").name, kDefaultSpeed);
}

}  // namespace
}  // namespace millrace
