#include <gtest/gtest.h>

#include <cstdio>

#include "broker/dispatcher/task_queue.h"
#include "tests/broker/dispatcher/harness.h"

namespace millrace::broker {
namespace {

class Stopwatch {
 public:
  double MicrosecondsEach(int count) const {
    const std::chrono::duration<double, std::micro> spent =
        std::chrono::steady_clock::now() - start_;
    return spent.count() / count;
  }

 private:
  const std::chrono::steady_clock::time_point start_ = std::chrono::steady_clock::now();
};

TEST(DispatcherScaleTest, HoldsAHundredThousandJobsAndPrintsWhatEachCosts) {
  constexpr int kJobs = 100'000;
  constexpr int kRuns = 2'000;
  Harness harness;
  auto submit = message::Read<message::Submit>(harness.SubmitBody({.id = NewJobId()}));
  std::vector<std::string> ids;
  for (int i = 0; i < kJobs; ++i) ids.push_back(NewJobId());
  const Stopwatch submitting;
  for (const std::string& id : ids) {
    submit.job_id = id;
    harness.dispatcher->OnSubmit(harness.to, submit, std::nullopt, harness.now());
  }
  std::printf("submit: %.1f us each\n", submitting.MicrosecondsEach(kJobs));
  EXPECT_EQ(harness.dispatcher->QueueView(harness.now())["queued"], kJobs);
  EXPECT_EQ(harness.dispatcher->Live(ids.back()).queue_position, kJobs);
  submit.job_id = NewJobId();
  EXPECT_TRUE(harness.dispatcher->OnSubmit(harness.to, submit, std::nullopt, harness.now())
                  .changes.empty());

  json body = harness.RegisterBody("host/1", 1);
  body["instance"] = "host/1#1";
  Outcome outcome = harness.dispatcher->OnWorker(
      "host/1#1", {.type = "register", .id = "w", .body = std::move(body)}, harness.now());
  const Stopwatch leasing;
  for (int i = 0; i < kRuns; ++i) {
    const Message* assign = nullptr;
    for (const Effect& effect : outcome.effects) {
      const auto* send = std::get_if<SendToWorker>(&effect);
      if (send != nullptr && send->message.type == "assign") assign = &send->message;
    }
    ASSERT_NE(assign, nullptr);
    EXPECT_EQ(assign->body["job"], ids[static_cast<size_t>(i)]);
    const std::string task = assign->body["task"];
    const Fence fence = assign->body["fence"];
    outcome = harness.dispatcher->OnWorker("host/1#1",
                                           {.type = "finished",
                                            .id = "w",
                                            .body = {{"instance", "host/1#1"},
                                                     {"task", task},
                                                     {"fence", fence},
                                                     {"manifest", Harness::ManifestJson()},
                                                     {"usage", json::object()}}},
                                           harness.now());
    harness.dispatcher->OnResult(Published{.job_id = ids[static_cast<size_t>(i)], .fence = fence},
                                 harness.now());
  }
  std::printf("finish, lease the next, publish: %.1f us each\n", leasing.MicrosecondsEach(kRuns));
}

TEST(TaskQueueTest, TellsPositionsAndTheOldestWhateverTheLane) {
  TaskQueue queue;
  TaskEntry* const a = reinterpret_cast<TaskEntry*>(1);
  TaskEntry* const b = reinterpret_cast<TaskEntry*>(2);
  TaskEntry* const c = reinterpret_cast<TaskEntry*>(3);
  EXPECT_EQ(queue.Oldest(), nullptr);
  const auto all = [](const TaskQueue::Lane&) { return true; };
  EXPECT_EQ(queue.First(all), nullptr);
  queue.Add({.priority = 0, .order = 1}, {.needs = {}, .avoid = ""}, a);
  queue.Add({.priority = 100, .order = 3}, {.needs = {}, .avoid = "host/1"}, c);
  queue.Add({.priority = 100, .order = 2}, {.needs = {}, .avoid = ""}, b);
  EXPECT_EQ(queue.PositionOf({.priority = 100, .order = 2}), 1);
  EXPECT_EQ(queue.PositionOf({.priority = 100, .order = 3}), 2);
  EXPECT_EQ(queue.PositionOf({.priority = 0, .order = 1}), 3);
  EXPECT_EQ(queue.PositionOf({.priority = 0, .order = 9}), 0);
  EXPECT_EQ(queue.Oldest(), a);
  EXPECT_EQ(queue.First(all), b);
  EXPECT_EQ(queue.First([](const TaskQueue::Lane& lane) { return lane.avoid == "host/1"; }), c);
  EXPECT_TRUE(queue.Remove({.priority = 100, .order = 2}));
  EXPECT_FALSE(queue.Remove({.priority = 100, .order = 2}));
  EXPECT_EQ(queue.First(all), c);
  EXPECT_EQ(queue.size(), 2u);
}

}  // namespace
}  // namespace millrace::broker
