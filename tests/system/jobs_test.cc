#include <gtest/gtest.h>

#include <map>
#include <set>
#include <thread>

#include "tests/system/process_table.h"
#include "tests/system/service_test.h"

// The promises to clients without faults.

namespace millrace::harness {
namespace {

class JobsTest : public ServiceTest {};

TEST_F(JobsTest, TwoWorkersShareTenJobs) {
  Service& service = Begin({.workers = 2});
  Client& client = service.client();
  const std::string upload = client.Upload(SlowInput());
  std::vector<std::string> jobs;
  for (int i = 0; i < 10; ++i) {
    jobs.push_back(
        client.Submit({{"input", {{"upload", upload}}}, {"outputs", QuickOutputs()}}).at("id"));
  }
  std::map<std::string, int> done_by;
  for (const std::string& id : jobs) {
    const json job = client.WaitForEnd(id);
    ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
    const json attempts = client.Attempts(id);
    ASSERT_EQ(attempts.size(), 1u);
    ++done_by[attempts[0].at("worker")];
  }
  EXPECT_EQ(done_by.size(), 2u) << "one of the workers did nothing";
  for (const auto& [worker, count] : done_by) EXPECT_GE(count, 2) << worker;
}

TEST_F(JobsTest, FiftySubmissionsAtOnceAllSucceedUnderTheirOwnIds) {
  constexpr int kClients = 50;
  Service& service = Begin({.workers = 2, .slots = 2});
  const std::string upload = service.client().Upload(fixtures::FixturePath("tiny-16x16.mp4"));
  std::vector<std::string> ids(kClients);
  std::vector<std::string> errors(kClients);
  std::vector<std::thread> threads;
  for (size_t i = 0; i < kClients; ++i) {
    threads.emplace_back([&, i] {
      try {
        ids[i] = Client(service.url())
                     .Submit({{"input", {{"upload", upload}}},
                              {"outputs", QuickOutputs()},
                              {"external_id", "client-" + std::to_string(i)}})
                     .at("id");
      } catch (const std::exception& error) {
        errors[i] = error.what();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
  for (const std::string& error : errors) EXPECT_EQ(error, "");
  EXPECT_EQ(std::set<std::string>(ids.begin(), ids.end()).size(), size_t{kClients});
  for (size_t i = 0; i < kClients; ++i) {
    const json job = service.client().WaitForEnd(ids[i]);
    EXPECT_EQ(job.at("state"), "succeeded") << job.dump();
    EXPECT_EQ(job.at("external_id"), "client-" + std::to_string(i));
  }
  EXPECT_EQ(FilesBelow(service.data_dir() / "work"), std::vector<std::string>());
}

TEST_F(JobsTest, CancellingStopsTheEncoderWithinASecondAndLeavesNoFiles) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string id =
      client.Start(fixtures::FixturePath("black-24h.mp4"), SlowOutputs("veryslow"));
  client.WaitUntilEncoding(id);
  const std::vector<pid_t> encoders = service.EncodersOf(0);
  ASSERT_EQ(encoders.size(), 1u);

  client.Cancel(id);
  EXPECT_TRUE(Eventually([&] { return !IsAlive(encoders[0]); }, 1s));

  const json job = client.WaitForEnd(id, 10s);
  EXPECT_EQ(job.at("state"), "cancelled") << job.dump();
  EXPECT_EQ(FilesOf(job, "web"), json::array());
  EXPECT_TRUE(Eventually([&] { return FilesBelow(service.data_dir() / "work").empty(); }, 5s));
  EXPECT_EQ(FilesBelow(service.data_dir() / "outputs"), std::vector<std::string>());
  const HttpAnswer again =
      client.http().Send({.method = "POST", .path = "/v1/jobs/" + id + "/cancel"});
  EXPECT_EQ(again.status, 409);
}

TEST_F(JobsTest, AJobCancelledInTheQueueIsNeverStarted) {
  Service& service = Begin({.workers = 0});
  Client& client = service.client();
  const std::string id = client.Start(fixtures::FixturePath("tiny-16x16.mp4"), QuickOutputs());
  client.Cancel(id);
  EXPECT_EQ(client.WaitForEnd(id, 10s).at("state"), "cancelled");
  EXPECT_EQ(client.Attempts(id), json::array());
}

TEST_F(JobsTest, PercentNeverFallsAndIsAHundredOnlyWithOutputs) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string id = client.Start(SlowInput(), SlowOutputs("slow"));
  std::vector<int> percents;
  const json job = client.Follow(id, [&](const json& seen) {
    const int percent = seen.at("progress").at("percent");
    percents.push_back(percent);
    if (percent == 100) {
      EXPECT_EQ(seen.at("state"), "succeeded");
      client.Fetch(FilesOf(seen, "web").at(0), service.download_dir());
    }
    return false;
  });
  ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
  EXPECT_TRUE(std::ranges::is_sorted(percents)) << json(percents).dump();
  EXPECT_EQ(percents.back(), 100);
  EXPECT_GE(std::set<int>(percents.begin(), percents.end()).size(), 5u)
      << "nobody could follow this: " << json(percents).dump();
}

TEST_F(JobsTest, PercentIsRightDespiteAHeaderThatLiesAboutTheDuration) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string id =
      client.Start(fixtures::FixturePath("lying-duration.mkv"), SlowOutputs("medium"));
  std::vector<int> percents;
  const json job = client.Follow(id, [&](const json& seen) {
    percents.push_back(seen.at("progress").at("percent"));
    return false;
  });
  ASSERT_EQ(job.at("state"), "succeeded") << job.dump();
  EXPECT_TRUE(std::ranges::is_sorted(percents)) << json(percents).dump();
  EXPECT_EQ(percents.back(), 100);
}

TEST_F(JobsTest, AProbeIsAnsweredWhileAllSlotsAreBusy) {
  Service& service = Begin({.workers = 1});
  Client& client = service.client();
  const std::string id =
      client.Start(fixtures::FixturePath("black-24h.mp4"), SlowOutputs("veryslow"));
  client.WaitUntilEncoding(id);
  const std::string upload = client.Upload(fixtures::FixturePath("rotated-90.mp4"));
  const HttpAnswer answer =
      client.http().Send({.method = "POST",
                          .path = "/v1/probe",
                          .headers = {"Content-Type: application/json"},
                          .body = json{{"input", {{"upload", upload}}}}.dump()});
  ASSERT_EQ(answer.status, 200) << answer.body;
  EXPECT_NE(answer.body.find("h264"), std::string::npos);
  EXPECT_EQ(client.Job(id).at("state"), "running");
  client.Cancel(id);
  EXPECT_EQ(client.WaitForEnd(id, 10s).at("state"), "cancelled");
}

TEST_F(JobsTest, ALargeUploadDoesNotGrowTheApisMemory) {
  constexpr int64_t kUploadBytes = 256 << 20;
  constexpr int64_t kAllowedGrowthBytes = 16 << 20;
  Service& service = Begin({.workers = 0});
  Client& client = service.client();
  client.Upload(fixtures::FixturePath("tiny-16x16.mp4"));  // what is made once is there
  const int64_t before = PeakResidentBytes(service.api().pid());
  int64_t left = kUploadBytes;
  const HttpAnswer answer =
      client.http().Put("/v1/uploads/zeros.bin", kUploadBytes, [&left](std::span<char> block) {
        const auto count = std::min<int64_t>(left, static_cast<int64_t>(block.size()));
        std::fill_n(block.data(), count, '\0');
        left -= count;
        return static_cast<size_t>(count);
      });
  ASSERT_EQ(answer.status, 201) << answer.body;
  EXPECT_EQ(answer.Json().at("bytes"), kUploadBytes);
  EXPECT_LE(PeakResidentBytes(service.api().pid()) - before, kAllowedGrowthBytes);
}

}  // namespace
}  // namespace millrace::harness
