#include "broker/dispatcher/size_prediction.h"

#include <gtest/gtest.h>

namespace millrace::broker {
namespace {

constexpr int64_t kGiB = int64_t{1} << 30;

class SizePredictionTest : public testing::Test {
 protected:
  SizePredictionTest() { job_.input_facts = {{"name", "in.mov"}, {"bytes", 4 * kGiB}}; }

  OutputSpec& Output() { return job_.request.spec.outputs.emplace_back(); }
  VideoSpec& Video() { return Output().video.emplace(); }
  void Lasts(double seconds) { job_.media = {{"duration_seconds", seconds}}; }
  int64_t Predict() const { return PredictOutputBytes(job_); }

  Job job_;
};

TEST_F(SizePredictionTest, TakesACopyToBeAsLargeAsTheInput) {
  OutputSpec& output = Output();
  output.video.emplace().codec = VideoCodec::kCopy;
  output.audio.emplace().codec = AudioCodec::kCopy;
  EXPECT_EQ(Predict(), 4 * kGiB);
}

TEST_F(SizePredictionTest, TakesAnEncodeToBeNoLargerThanTheInput) {
  Video();
  EXPECT_EQ(Predict(), 4 * kGiB);
  Lasts(8);
  EXPECT_EQ(Predict(), 40'000'000);
  Lasts(100'000);
  EXPECT_EQ(Predict(), 4 * kGiB);
}

TEST_F(SizePredictionTest, UsesTheBitRateIfTheDurationIsKnown) {
  Video().bitrate_bps = 8'000'000;
  EXPECT_EQ(Predict(), 4 * kGiB);
  Lasts(10);
  EXPECT_EQ(Predict(), 10'000'000);
}

TEST_F(SizePredictionTest, CountsOnlyThePartOfTheInputThatIsUsed) {
  Video().bitrate_bps = 8'000'000;
  job_.request.spec.clip = ClipSpec{.start_seconds = 5, .duration_seconds = 3};
  EXPECT_EQ(Predict(), 3'000'000);
}

TEST_F(SizePredictionTest, TakesSoundAndThumbnailsToBeSmall) {
  Output().audio.emplace();
  EXPECT_EQ(Predict(), 64 << 20);
  Output().thumbnails =
      ThumbnailSpec{.count = 4, .width_px = {}, .height_px = {}, .at_seconds = {}};
  EXPECT_EQ(Predict(), (64 << 20) + 4 * (512 << 10));
}

TEST_F(SizePredictionTest, AddsUpOutputs) {
  Video();
  Video();
  EXPECT_EQ(Predict(), 8 * kGiB);
}

TEST_F(SizePredictionTest, PredictsNothingForAnUnknownInput) {
  Video();
  job_.input_facts = nullptr;
  EXPECT_EQ(Predict(), 0);
  job_.input_facts = {{"bytes", "many"}};
  EXPECT_EQ(Predict(), 0);
  job_.input_facts = {{"bytes", -5}};
  EXPECT_EQ(Predict(), 0);
}

}  // namespace
}  // namespace millrace::broker
