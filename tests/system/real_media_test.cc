#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <map>
#include <set>

#include "media-fixtures/facts.h"
#include "tests/system/dead_letter_checks.h"
#include "tests/system/media_checks.h"
#include "tests/system/service_test.h"

// Encodes files from the real world if MILLRACE_MEDIA_DIR names a folder of them, with a
// MANIFEST.json of the expected results.

namespace millrace::harness {
namespace {

class RealMediaTest : public ServiceTest {
 protected:
  void SetUp() override {
    const char* folder = std::getenv("MILLRACE_MEDIA_DIR");
    if (folder == nullptr || *folder == '\0') GTEST_SKIP() << "MILLRACE_MEDIA_DIR is not set";
    folder_ = folder;
    manifest_ = json::parse(std::ifstream(folder_ / "MANIFEST.json")).at("files");
  }

  std::filesystem::path folder_;
  json manifest_;
};

// Returns the processes of the workers, as broker and system name them.
std::set<std::string> WorkerInstances(Service& service) {
  std::set<std::string> instances;
  for (const json& worker : service.client().Get("/v1/workers").at("workers")) {
    instances.insert(worker.at("name").get<std::string>() + " since " +
                     worker.at("registered_at").get<std::string>());
  }
  return instances;
}

std::vector<std::string> AllMediaErrors() {
  std::vector<std::string> codes;
  for (const ErrorTraits& traits : AllErrorTraits()) {
    if (traits.blame == Blame::kMedia) codes.emplace_back(traits.name);
  }
  return codes;
}

Contents ContentsOf(const json& entry) {
  return {.video = !entry.at("video").empty(),
          .audio = !entry.at("audio").empty(),
          .hdr = entry.at("traits").dump().find("HDR") != std::string::npos,
          .header_lies = entry.at("decode").at("out_time_s").is_number() &&
                         HeaderLies(entry.at("duration_s"), entry["decode"]["out_time_s"])};
}

// Compares the output with facts that were measured by decoding the whole input.
void ExpectPromisedMedia(const json& made, const json& entry) {
  const json& decoded = entry.at("decode");
  const json video = StreamOf(made, "video");
  const json audio = StreamOf(made, "audio");
  ASSERT_EQ(video.is_null(), entry.at("video").empty());
  ASSERT_EQ(audio.is_null(), entry.at("audio").empty());
  if (!video.is_null()) {
    EXPECT_NEAR(video.at("frames"), decoded.at("frames_out"), 1);
    EXPECT_EQ(video.at("rotation"), 0);
    EXPECT_EQ(video.at("sar"), "1:1");
  }
  EXPECT_NEAR(made.at("seconds"), decoded.at("out_time_s"), 0.25);
}

void ExpectHonestSalvage(const json& job, const json& made, const json& entry) {
  ASSERT_EQ(entry.at("expected"), "corrupt") << "there was nothing to save in this file";
  ASSERT_TRUE(entry.at("decode").contains("frames_out"));
  ASSERT_TRUE(WarnsOfMoreThan(RemarksOn(ContentsOf(entry)), job))
      << "a success that hides what is missing";
  EXPECT_NEAR(StreamOf(made, "video").at("frames"), entry.at("decode").at("frames_out"), 1);
}

void ExpectGoodEnd(Service& service, const json& job, const json& entry) {
  const json made = fixtures::MeasureFacts(
      service.client().Fetch(FilesOf(job, "web").at(0), service.download_dir()));
  SCOPED_TRACE(made.dump());
  if (entry.at("expected") != "ok") {
    ExpectHonestSalvage(job, made, entry);
    return;
  }
  std::set<std::string> warnings = WarningsOf(job);
  // Some good files have a damaged packet, over which ffmpeg stumbles as well.
  if (entry.at("decode").at("xerror_rc") != 0) warnings.erase("decode_errors");
  EXPECT_EQ(warnings, RemarksOn(ContentsOf(entry)));
  ExpectPromisedMedia(made, entry);
}

TEST_F(RealMediaTest, EachFileEndsAsTheManifestSays) {
  Service& service = Begin();
  Client& client = service.client();
  const auto workers = WorkerInstances(service);
  std::map<std::string, std::string> jobs;
  for (const json& entry : manifest_) {
    const std::string name = entry.at("name");
    jobs[name] = client.Start(folder_ / name, QuickOutputs());
  }
  for (const json& entry : manifest_) {
    const std::string name = entry.at("name");
    const json job = client.WaitForEnd(jobs.at(name), 5min);
    SCOPED_TRACE(name + " " + job.dump());
    if (job.at("state") == "succeeded") {
      ExpectGoodEnd(service, job, entry);
    } else {
      EXPECT_EQ(job.at("state"), "dead");
      EXPECT_NE(entry.at("expected"), "ok");
      ExpectClearError(job, AllMediaErrors());
      ExpectCompleteDeadLetter(service, job, folder_ / name);
    }
  }
  EXPECT_EQ(WorkerInstances(service), workers) << "a worker was lost";
}

}  // namespace
}  // namespace millrace::harness
