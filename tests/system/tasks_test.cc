#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <map>

#include "tests/system/process_table.h"
#include "tests/system/service_test.h"

// Jobs whose outputs several workers make at once.

namespace millrace::harness {
namespace {

using testing::SizeIs;

class TasksTest : public ServiceTest {
 protected:
  // Short jobs are planned as long ones are.
  Service& BeginWith(int workers) {
    return Begin({.workers = workers, .broker_arguments = {"--task-overhead", "0"}});
  }

  // A slow encode, sound alone, and a stream copy.
  static json ThreeKinds() {
    json outputs = SlowOutputs("slow");
    outputs.push_back({{"name", "sound"}, {"container", "m4a"}, {"audio", {{"codec", "aac"}}}});
    outputs.push_back({{"name", "copy"}, {"preset", "remux-mp4"}});
    return outputs;
  }

  static std::map<std::string, std::vector<json>> ByTask(const json& attempts) {
    std::map<std::string, std::vector<json>> tasks;
    for (const json& attempt : attempts) tasks[attempt.at("task")].push_back(attempt);
    return tasks;
  }

  static void ExpectAllOutputs(Service& service, const json& job) {
    for (const char* output : {"web", "sound", "copy"}) {
      const json files = FilesOf(job, output);
      ASSERT_THAT(files, SizeIs(1)) << output;
      service.client().Fetch(files[0], service.download_dir());
    }
  }
};

TEST_F(TasksTest, TwoWorkersMakeTheOutputsOfOneJobAtTheSameTime) {
  Service& service = BeginWith(2);
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), ThreeKinds());
  std::vector<int> percents;
  const json job = client.Follow(id, [&](const json& seen) {
    percents.push_back(seen.at("progress").at("percent"));
    return false;
  });
  ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
  EXPECT_TRUE(std::ranges::is_sorted(percents)) << json(percents).dump();
  EXPECT_EQ(percents.back(), 100);
  ExpectAllOutputs(service, job);

  const json attempts = client.Attempts(id);
  ASSERT_THAT(ByTask(attempts), SizeIs(2)) << attempts.dump();
  ASSERT_THAT(attempts, SizeIs(2));
  EXPECT_NE(attempts[0].at("worker"), attempts[1].at("worker"));
  // Times of one form sort as text.
  EXPECT_LT(attempts[1].at("started_at").get<std::string>(),
            attempts[0].at("finished_at").get<std::string>());
  EXPECT_EQ(FilesBelow(service.data_dir() / "work"), std::vector<std::string>());
}

TEST_F(TasksTest, OnlyTheTaskWhoseEncoderWasKilledIsRunAgain) {
  Service& service = BeginWith(3);
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), ThreeKinds());
  // The others are done soon; what is still encoded then is the picture.
  ASSERT_TRUE(Eventually(
      [&] {
        int running = 0;
        for (const json& attempt : client.Attempts(id))
          running += attempt.at("outcome") == "running";
        return running == 1;
      },
      30s));
  std::string killed;
  for (const json& attempt : client.Attempts(id)) {
    if (attempt.at("outcome") == "running") killed = attempt.at("task");
  }
  client.WaitUntilEncoding(id);
  for (size_t i = 0; i < service.worker_count(); ++i) {
    for (const pid_t encoder : service.EncodersOf(i)) EXPECT_EQ(kill(encoder, SIGKILL), 0);
  }
  const json job = client.WaitForEnd(id);
  ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
  ExpectAllOutputs(service, job);
  const auto tasks = ByTask(client.Attempts(id));
  ASSERT_THAT(tasks, SizeIs(3));
  for (const auto& [task, attempts] : tasks) {
    EXPECT_THAT(attempts, SizeIs(task == killed ? 2 : 1));
  }
}

TEST_F(TasksTest, AnOutputThatTheInputHasNothingForIsSkipped) {
  Service& service = BeginWith(2);
  Client& client = service.client();
  json outputs = ThreeKinds();
  outputs.erase(2);
  outputs[0]["video"]["speed"] = "ultrafast";
  const std::string id = client.Start(fixtures::FixturePath("video-only-h264.mp4"), outputs);
  const json job = client.WaitForEnd(id);
  ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
  EXPECT_THAT(FilesOf(job, "web"), SizeIs(1));
  EXPECT_EQ(job.at("outputs")[1].at("state"), "skipped");
}

}  // namespace
}  // namespace millrace::harness
