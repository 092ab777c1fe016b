#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "media-fixtures/facts.h"
#include "tests/system/service_test.h"

// The command line against a running service: what it prints, and the status it ends with.

namespace millrace::harness {
namespace {

using testing::HasSubstr;

class CliTest : public ServiceTest {
 protected:
  // Runs `millrace` against the service.
  CommandResult Millrace(const Service& service, std::vector<std::string> arguments) {
    return RunCommand({.program = ProgramPath("millrace"),
                       .arguments = std::move(arguments),
                       .environment = {"MILLRACE_URL=" + service.url()}},
                      kJobLimit);
  }
  // The same with --json; the command must do its work.
  json MillraceJson(const Service& service, std::vector<std::string> arguments) {
    arguments.emplace_back("--json");
    const CommandResult result = Millrace(service, arguments);
    EXPECT_EQ(result.end.exit_status, 0) << result.err;
    return json::parse(result.out);
  }
};

TEST_F(CliTest, SubmitWaitsShowsAndDownloads) {
  Service& service = Begin();
  const std::string input = fixtures::FixturePath("av-sync.mp4");
  const std::filesystem::path downloads = service.download_dir() / "cli";
  const CommandResult submitted =
      Millrace(service, {"submit", input, "--preset", "mp4-h264-480p", "--poster", "--label",
                         "team=news", "--wait", "--download", downloads.string()});
  ASSERT_EQ(submitted.end.exit_status, 0) << submitted.err;
  std::vector<std::filesystem::path> files;
  for (const std::string& file : FilesBelow(downloads)) files.push_back(downloads / file);
  ASSERT_EQ(files.size(), 2u) << submitted.out << submitted.err;
  for (const auto& file : files) EXPECT_EQ(fixtures::MeasureFacts(file)["readable"], true) << file;

  const json jobs = MillraceJson(service, {"jobs", "--label", "team=news"}).at("jobs");
  ASSERT_EQ(jobs.size(), 1u);
  const std::string id = jobs[0].at("id");
  EXPECT_EQ(MillraceJson(service, {"show", id}).at("state"), "succeeded");
  EXPECT_EQ(MillraceJson(service, {"watch", id}).at("id"), id);
  EXPECT_THAT(Millrace(service, {"show", id}).out, HasSubstr("succeeded"));
  EXPECT_THAT(Millrace(service, {"jobs"}).out, HasSubstr(id));
}

TEST_F(CliTest, AJobThatEndsBadlyEndsTheCommandWithOneAndTheReason) {
  Service& service = Begin();
  const CommandResult result = Millrace(service, {"submit", fixtures::FixturePath("garbage.mp4"),
                                                  "--preset", "mp4-h264-480p", "--wait"});
  EXPECT_EQ(result.end.exit_status, 1);
  EXPECT_THAT(result.out + result.err, HasSubstr("not_media"));
}

TEST_F(CliTest, CancelStopsAJob) {
  Service& service = Begin({.workers = 0});
  const CommandResult submitted = Millrace(
      service, {"submit", fixtures::FixturePath("tiny-16x16.mp4"), "--preset", "mp4-h264-480p"});
  ASSERT_EQ(submitted.end.exit_status, 0) << submitted.err;
  const std::string id = submitted.out.substr(0, submitted.out.find('\n'));
  EXPECT_EQ(MillraceJson(service, {"cancel", id}).at("id"), id);
  const CommandResult watched = Millrace(service, {"watch", id});
  EXPECT_EQ(watched.end.exit_status, 1) << "a cancelled job is not a success";
  EXPECT_THAT(watched.out, HasSubstr("cancelled"));
}

TEST_F(CliTest, ProbePresetsWorkersAndQueueTellWhatTheServiceKnows) {
  Service& service = Begin({.workers = 2});
  EXPECT_THAT(MillraceJson(service, {"probe", fixtures::FixturePath("rotated-90.mp4")}).dump(),
              HasSubstr("h264"));
  EXPECT_GE(MillraceJson(service, {"presets"}).at("presets").size(), 11u);
  EXPECT_EQ(MillraceJson(service, {"presets", "poster"}).at("name"), "poster");
  EXPECT_EQ(MillraceJson(service, {"workers"}).at("workers").size(), 2u);
  EXPECT_EQ(MillraceJson(service, {"queue"}).at("workers"), 2);
  EXPECT_THAT(Millrace(service, {"workers"}).out, HasSubstr(service.WorkerName(1)));
}

TEST_F(CliTest, ScriptsCanTellWhatWentWrongByTheStatus) {
  Service& service = Begin({.workers = 0});
  EXPECT_EQ(Millrace(service, {"submit"}).end.exit_status, 2);
  EXPECT_EQ(Millrace(service, {"submit", fixtures::FixturePath("tiny-16x16.mp4"), "--preset",
                               "no-such-preset"})
                .end.exit_status,
            2);
  EXPECT_EQ(Millrace(service, {"submit", "/no/such/file", "--preset", "poster"}).end.exit_status,
            3);
  EXPECT_EQ(Millrace(service, {"show", "job_019ab3c4d5e67f8091a2b3c4d5e6f708"}).end.exit_status, 3);
  service.api().Kill();
  EXPECT_EQ(Millrace(service, {"jobs"}).end.exit_status, 4);
}

TEST_F(CliTest, TheDemoShowsWhatItMadeAndStopsEverything) {
  const TempDir folder;
  const CommandResult good =
      RunCommand({.program = ProgramPath("millrace"),
                  .arguments = {"demo", "--data-dir", (folder.path() / "d").string(),
                                fixtures::FixturePath("sdr-720p-aac.mp4")}},
                 kJobLimit);
  EXPECT_EQ(good.end.exit_status, 0) << good.out << good.err;
  EXPECT_THAT(good.out, HasSubstr(".mp4"));
  EXPECT_THAT(good.out, HasSubstr(".jpg"));
  EXPECT_THAT(good.out, HasSubstr("1280x720"));
}

TEST_F(CliTest, TheDemoOfABadFileNamesTheReasonAndTheDeadLetter) {
  const TempDir folder;
  const std::filesystem::path data = folder.path() / "d";
  const CommandResult bad =
      RunCommand({.program = ProgramPath("millrace"),
                  .arguments = {"demo", "--data-dir", data.string(),
                                fixtures::FixturePath("truncated-no-moov.mp4")}},
                 kJobLimit);
  EXPECT_EQ(bad.end.exit_status, 1) << bad.out << bad.err;
  EXPECT_THAT(bad.out + bad.err, HasSubstr((data / "dead-letter").string()));
  EXPECT_THAT(FilesBelow(data / "dead-letter"),
              testing::Contains(testing::EndsWith("report.json")));
}

}  // namespace
}  // namespace millrace::harness
