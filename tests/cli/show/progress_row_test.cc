#include "cli/show/progress_row.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "cli/base/text.h"

namespace millrace::cli {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

json RunningJob() {
  return {{"id", "job_1"},
          {"state", "running"},
          {"phase", "transcoding"},
          {"input", {{"name", "holiday.mp4"}}},
          {"progress",
           {{"percent", 42},
            {"frames", 1260},
            {"fps", 88.1},
            {"speed", 3.5},
            {"eta_seconds", 17},
            {"queue_position", nullptr}}}};
}

TEST(ProgressRow, ShowsPhaseAndRatesOfARunningJob) {
  EXPECT_EQ(
      RenderBar(RowOf(RunningJob()), 120),
      "holiday.mp4                  [=========>            ]  42%  transcoding  eta 0:17  3.5x  "
      "88 fps");
  EXPECT_EQ(RenderPlain(RowOf(RunningJob())), "holiday.mp4: 42% transcoding eta 0:17 3.5x 88 fps");
}

TEST(ProgressRow, ShowsThePlaceInTheQueue) {
  json job = RunningJob();
  job["state"] = "queued";
  job["phase"] = "queued";
  job["progress"] = {{"percent", 0}, {"queue_position", 3}, {"eta_seconds", nullptr}};
  EXPECT_THAT(RenderBar(RowOf(job), 100), HasSubstr("  0%  queued  #3 in the queue"));
}

TEST(ProgressRow, ShowsNoRatesOfAnEndedJob) {
  json job = RunningJob();
  job["state"] = "succeeded";
  job["progress"]["percent"] = 100;
  EXPECT_EQ(RowOf(job).outcome, ProgressRow::Outcome::kGood);
  const std::string line = RenderBar(RowOf(job), 100);
  EXPECT_THAT(line, HasSubstr("[======================] 100%  succeeded"));
  EXPECT_THAT(line, Not(HasSubstr("fps")));
  for (const char* state : {"dead", "cancelled"}) {
    job["state"] = state;
    EXPECT_EQ(RowOf(job).outcome, ProgressRow::Outcome::kBad) << state;
  }
}

TEST(ProgressRow, LeavesOutFactsThatDoNotFit) {
  const std::string line = RenderBar(RowOf(RunningJob()), 60);
  EXPECT_THAT(line, HasSubstr("42%  transcoding"));
  EXPECT_THAT(line, Not(HasSubstr("fps")));
  EXPECT_THAT(line, Not(HasSubstr("…")));
}

TEST(ProgressRow, NeverIsWiderThanTheTerminal) {
  json job = RunningJob();
  job["input"]["name"] = "映画映画映画映画映画映画映画映画映画映画.mp4";
  for (int width = 1; width <= 200; ++width) {
    EXPECT_LE(DisplayWidth(RenderBar(RowOf(job), width)), width) << width;
  }
}

TEST(ProgressRow, MakesNamesPrintable) {
  json job = RunningJob();
  job["input"]["name"] = "a\033[31m\n.mp4";
  EXPECT_EQ(RowOf(job).label, "a?[31m?.mp4");
}

TEST(ProgressRow, ShowsTheIdOfAJobWithoutAName) {
  json job = RunningJob();
  job["input"].erase("name");
  EXPECT_EQ(RowOf(job).label, "job_1");
}

TEST(ProgressRow, ShowsTheBytesOfAnUpload) {
  EXPECT_EQ(RenderPlain(UploadRow("a.mp4", 2'500'000, 10'000'000)),
            "a.mp4: 25% uploading 2.5 MB of 10.0 MB");
  EXPECT_EQ(RenderPlain(UploadRow("stdin", 2'500'000, std::nullopt)), "stdin: 0% uploading 2.5 MB");
}

}  // namespace
}  // namespace millrace::cli
