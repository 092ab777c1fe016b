#include "broker/planner/task_planner.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>

#include "broker/planner/cost_model.h"

namespace millrace::broker {
namespace {

using testing::ElementsAre;

OutputSpec Web(const std::string& name, VideoCodec codec = VideoCodec::kH264) {
  OutputSpec output;
  output.name = name;
  output.container = Container::kMp4;
  output.video = VideoSpec();
  output.video->codec = codec;
  output.video->height_px = 720;
  output.audio = AudioSpec();
  return output;
}

OutputSpec Sound(const std::string& name) {
  OutputSpec output;
  output.name = name;
  output.container = Container::kM4a;
  output.audio = AudioSpec();
  return output;
}

OutputSpec Remux(const std::string& name) {
  OutputSpec output = Web(name, VideoCodec::kCopy);
  output.audio->codec = AudioCodec::kCopy;
  return output;
}

OutputSpec Poster(const std::string& name) {
  OutputSpec output;
  output.name = name;
  output.thumbnails = ThumbnailSpec();
  return output;
}

Job JobOf(std::vector<OutputSpec> outputs, int64_t megabytes) {
  Job job;
  job.request.spec.outputs = std::move(outputs);
  job.input_facts = {{"bytes", megabytes * 1'000'000}};
  return job;
}

// The names of the outputs of each task, joined; "*" for a task that makes all.
std::vector<std::string> NamesOf(const std::vector<PlannedTask>& plan) {
  std::vector<std::string> names;
  for (const PlannedTask& task : plan) {
    if (!task.spec) {
      names.emplace_back("*");
      continue;
    }
    std::string joined;
    for (const OutputSpec& output : task.spec->outputs) {
      joined += (joined.empty() ? "" : " ") + output.name;
    }
    names.push_back(std::move(joined));
  }
  return names;
}

struct Case {
  std::string name;
  std::vector<OutputSpec> outputs;
  int64_t megabytes = 0;
  int slots = 4;
  std::vector<std::string> plan;
};

class PlannerTest : public testing::TestWithParam<Case> {};

TEST_P(PlannerTest, PlansAsTheTableSays) {
  const Case& one = GetParam();
  const Fleet fleet{.workers = one.slots, .slots = one.slots};
  EXPECT_THAT(NamesOf(PlanTasks(JobOf(one.outputs, one.megabytes), fleet, {})),
              testing::ElementsAreArray(one.plan));
}

const std::vector<OutputSpec> kThreeKinds = {Remux("copy"), Sound("podcast"), Web("web")};

INSTANTIATE_TEST_SUITE_P(
    Jobs, PlannerTest,
    testing::Values(Case{"EncodesOfOnePictureShareItsDecode",
                         {Web("hd"), Web("sd"), Poster("poster")},
                         2000,
                         4,
                         {"*"}},
                    Case{"StreamCopiesGoApartFromEncodes",
                         {Web("web"), Remux("copy"), Poster("poster")},
                         2000,
                         4,
                         {"web poster", "copy"}},
                    Case{"SoundGoesApartFromPictures",
                         {Sound("podcast"), Web("web")},
                         2000,
                         4,
                         {"web", "podcast"}},
                    Case{"EachKindIsATask", kThreeKinds, 2000, 4, {"web", "podcast", "copy"}},
                    Case{"NoMoreTasksThanSlots", kThreeKinds, 2000, 2, {"copy web", "podcast"}},
                    Case{"OneSlotMakesOneTask", kThreeKinds, 2000, 1, {"*"}},
                    Case{"NoWorkersMakeOneTask", kThreeKinds, 2000, 0, {"*"}},
                    Case{"AShortJobIsOneTask", kThreeKinds, 20, 4, {"*"}},
                    Case{"AnUnknownInputMakesOneTask", kThreeKinds, 0, 4, {"*"}},
                    Case{"OneOutputIsOneTask", {Sound("podcast")}, 2000, 4, {"*"}},
                    Case{"CopiesAloneAreOneTask", {Remux("a"), Remux("b")}, 2000, 4, {"*"}}),
    [](const auto& tested) { return tested.param.name; });

TEST(TaskPlanner, HandsTheClipToEachTask) {
  Job job = JobOf(kThreeKinds, 20'000);
  job.request.spec.clip = ClipSpec{.start_seconds = 5, .duration_seconds = 4000};
  const std::vector<PlannedTask> plan = PlanTasks(job, {.workers = 2, .slots = 4}, {});
  ASSERT_GT(plan.size(), 1);
  for (const PlannedTask& task : plan) EXPECT_EQ(task.spec->clip, job.request.spec.clip);
}

TEST(TaskPlanner, BelievesTheProbeMoreThanTheSize) {
  // Much data, but of few seconds: no sound of it is worth a task.
  Job job = JobOf({Sound("podcast"), Web("web")}, 2000);
  job.media = {{"duration_seconds", 3.0},
               {"streams", {{{"kind", "video"}, {"width", 3840}, {"height", 2160}, {"fps", 24}}}}};
  EXPECT_THAT(NamesOf(PlanTasks(job, {.workers = 2, .slots = 4}, {})), ElementsAre("*"));
}

TEST(TaskPlanner, WithoutOverheadSplitsAShortJobToo) {
  const PlannerOptions options{.task_overhead = std::chrono::milliseconds(0)};
  EXPECT_THAT(NamesOf(PlanTasks(JobOf(kThreeKinds, 1), {.workers = 2, .slots = 4}, options)),
              ElementsAre("web", "podcast", "copy"));
}

TEST(CostModel, CountsASharedDecodeOnce) {
  const InputSize input{.bytes = 1e8, .media_seconds = 100};
  const double hd = PredictSeconds({Web("hd")}, input);
  const double both = PredictSeconds({Web("hd"), Web("sd")}, input);
  EXPECT_GT(both, hd);
  EXPECT_LT(both, 2 * hd);
}

TEST(CostModel, TakesLongerForSlowerCodecsAndLargerPictures) {
  const InputSize input{.bytes = 1e8, .media_seconds = 100};
  const double h264 = PredictSeconds({Web("web")}, input);
  EXPECT_GT(PredictSeconds({Web("web", VideoCodec::kAv1)}, input), h264);
  OutputSpec large = Web("web");
  large.video->height_px = 1080;
  EXPECT_GT(PredictSeconds({large}, input), h264);
  OutputSpec slow = Web("web");
  slow.video->speed = "veryslow";
  EXPECT_GT(PredictSeconds({slow}, input), h264);
}

}  // namespace
}  // namespace millrace::broker
