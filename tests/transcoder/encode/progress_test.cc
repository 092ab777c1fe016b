#include "transcoder/encode/base/progress.h"

#include <gtest/gtest.h>

#include <chrono>

namespace millrace::encode {
namespace {

using std::chrono::seconds;

constexpr MonotonicTime kStart{};

ProgressEstimator Estimator(std::optional<double> header, int64_t bytes = 1000) {
  return ProgressEstimator({{.name = "web", .cost = 1, .finalize_share = 0.1}}, header, bytes,
                           kStart);
}

ProgressEstimator::Observation Seen(double demuxed, int64_t bytes, double written) {
  return {.phase = "transcoding",
          .demuxed_seconds = demuxed,
          .demuxed_bytes = bytes,
          .demux_finished = false,
          .frames = static_cast<int64_t>(written * 25),
          .outputs = {{.seconds = written, .finalized = 0}}};
}

TEST(ProgressEstimator, ComparesWrittenMediaWithPlannedMedia) {
  ProgressEstimator estimator = Estimator(100);
  const Progress progress = estimator.Update(Seen(55, 550, 50), kStart + seconds(10));
  EXPECT_EQ(progress.percent, 45);  // half of the nine tenths before the end phase
  EXPECT_EQ(progress.outputs.front().second, 45);
  EXPECT_DOUBLE_EQ(progress.speed, 5);
  EXPECT_DOUBLE_EQ(progress.fps, 125);
  ASSERT_TRUE(progress.eta_seconds.has_value());
  EXPECT_NEAR(*progress.eta_seconds, 10 * 0.55 / 0.45, 1e-6);
}

TEST(ProgressEstimator, NeverFallsWhenThePlanGrows) {
  ProgressEstimator estimator = Estimator(10);
  EXPECT_EQ(estimator.Update(Seen(9, 100, 9), kStart + seconds(1)).percent, 81);
  // There is far more than the header promised.
  EXPECT_EQ(estimator.Update(Seen(12, 120, 12), kStart + seconds(2)).percent, 81);
  EXPECT_EQ(estimator.Update(Seen(95, 950, 95), kStart + seconds(9)).percent, 85);
}

TEST(ProgressEstimator, DoesNotBelieveAHeaderThatPromisesForeverInAFewBytes) {
  ProgressEstimator estimator = Estimator(143165);
  EXPECT_EQ(estimator.Update(Seen(0.5, 500, 0.5), kStart + seconds(1)).percent, 45);
}

TEST(ProgressEstimator, LearnsADurationThatTheHeaderLeavesOut) {
  ProgressEstimator estimator = Estimator(std::nullopt);
  EXPECT_EQ(estimator.Update(Seen(0, 0, 0), kStart).percent, 0);
  EXPECT_EQ(estimator.Update(Seen(20, 400, 10), kStart + seconds(1)).percent, 18);
}

TEST(ProgressEstimator, KnowsTheDurationOnceEverythingIsRead) {
  ProgressEstimator estimator = Estimator(10);
  ProgressEstimator::Observation seen = Seen(4, 1000, 2);
  seen.demux_finished = true;
  EXPECT_EQ(estimator.Update(seen, kStart + seconds(1)).percent, 45);
}

TEST(ProgressEstimator, CountsTheEndPhaseAndStopsAt99) {
  ProgressEstimator estimator = Estimator(10);
  ProgressEstimator::Observation seen = Seen(10, 1000, 10);
  EXPECT_EQ(estimator.Update(seen, kStart + seconds(1)).percent, 90);
  seen.outputs[0].finalized = 0.5;
  EXPECT_EQ(estimator.Update(seen, kStart + seconds(2)).percent, 95);
  seen.outputs[0].finalized = 1;
  EXPECT_EQ(estimator.Update(seen, kStart + seconds(3)).percent, 99);
}

TEST(ProgressEstimator, WeighsOutputsByTheirCost) {
  ProgressEstimator estimator({{.name = "dear", .cost = 3}, {.name = "cheap", .cost = 1}}, 10, 1000,
                              kStart);
  ProgressEstimator::Observation seen = Seen(10, 1000, 0);
  seen.outputs = {{.seconds = 0, .finalized = 0}, {.seconds = 10, .finalized = 0}};
  const Progress progress = estimator.Update(seen, kStart + seconds(1));
  EXPECT_EQ(progress.percent, 25);
  EXPECT_EQ(progress.outputs[0].second, 0);
  EXPECT_EQ(progress.outputs[1].second, 100);
}

}  // namespace
}  // namespace millrace::encode
