#include <gtest/gtest.h>

#include <iostream>
#include <memory>

#include "media-fixtures/facts.h"
#include "tests/system/dead_letter_checks.h"
#include "tests/system/media_checks.h"
#include "tests/system/process_table.h"
#include "tests/system/service_test.h"

// Uploads, encodes and downloads each fixture of media-fixtures. The tests of one process share one
// service, whose worker has to survive all of them.

namespace millrace::harness {
namespace {

using fixtures::Expected;
using fixtures::Fixture;

constexpr int kPosterWidth = 320;

class FixtureThroughTheService : public testing::TestWithParam<Fixture> {
 protected:
  static void SetUpTestSuite() { service_ = new Service({.workers = 1}); }
  static void TearDownTestSuite() {
    const json worker = service_->client().Get("/v1/workers").at("workers").at(0);
    EXPECT_TRUE(service_->worker(0).Running()) << "the worker was lost";
    EXPECT_EQ(worker.at("busy_slots"), 0) << worker.dump();
    // The broker removes work folders after it has answered.
    EXPECT_TRUE(Eventually([] { return FilesBelow(service_->data_dir() / "work").empty(); }, 10s));
    delete service_;
    service_ = nullptr;
  }
  void TearDown() override {
    if (HasFailure()) std::cerr << service_->Logs();
  }

  static json OutputsFor(const Fixture& fixture) {
    json outputs = QuickOutputs();
    // A file without a picture has no poster.
    if (!fixture.Streams("video").empty()) outputs.push_back(QuickPoster());
    return outputs;
  }

  static void ExpectGoodOutputs(const json& job, const Fixture& fixture) {
    EXPECT_EQ(job.at("progress").at("percent"), 100);
    EXPECT_EQ(WarningsOf(job), RemarksOn(ContentsOf(fixture)));
    EXPECT_TRUE(job.at("error").is_null());
    const json files = FilesOf(job, "web");
    ASSERT_EQ(files.size(), 1u);
    ExpectSameMedia(service_->client().Fetch(files[0], service_->download_dir()), fixture,
                    {.width = 1280, .height = 720});
    if (fixture.Streams("video").empty()) return;
    const json posters = FilesOf(job, "poster");
    ASSERT_EQ(posters.size(), 1u);
    ExpectPosterOf(service_->client().Fetch(posters[0], service_->download_dir()), fixture,
                   kPosterWidth);
  }

  // Allow for the missing part that the warning names.
  static void ExpectSalvaged(const json& job, const Fixture& fixture) {
    ASSERT_TRUE(WarnsOfMoreThan(RemarksOn(ContentsOf(fixture)), job))
        << "a success that hides what is missing";
    const json facts = fixtures::MeasureFacts(
        service_->client().Fetch(FilesOf(job, "web")[0], service_->download_dir()));
    const json given = StreamOf(fixture.facts, "video");
    ASSERT_EQ(facts["readable"], true);
    if (!given.is_null()) {
      EXPECT_NEAR(StreamOf(facts, "video")["frames"], given["frames"], 2);
    }
  }

  static inline Service* service_ = nullptr;
};

TEST_P(FixtureThroughTheService, EndsAsTheManifestSays) {
  const Fixture& fixture = GetParam();
  SCOPED_TRACE(fixture.what);
  const std::filesystem::path input = fixtures::FixturePath(fixture.name);
  const std::string id = service_->client().Start(input, OutputsFor(fixture));
  const json job = service_->client().WaitForEnd(id);
  SCOPED_TRACE(job.dump(2));
  if (fixture.expected == Expected::kOk) {
    ASSERT_EQ(job.at("state"), "succeeded");
    ExpectGoodOutputs(job, fixture);
  } else if (fixture.salvage && job.at("state") == "succeeded") {
    ExpectSalvaged(job, fixture);
  } else {
    ASSERT_EQ(job.at("state"), "dead");
    ExpectCompleteDeadLetter(*service_, job, input);
    ExpectClearError(job, fixture.errors);
    EXPECT_LT(job.at("progress").at("percent"), 100);
  }
}

std::string TestName(const testing::TestParamInfo<Fixture>& info) {
  std::string name = info.param.name;
  std::ranges::replace_if(
      name, [](unsigned char c) { return std::isalnum(c) == 0; }, '_');
  return name;
}

INSTANTIATE_TEST_SUITE_P(All, FixtureThroughTheService, testing::ValuesIn(fixtures::LoadManifest()),
                         TestName);

}  // namespace
}  // namespace millrace::harness
