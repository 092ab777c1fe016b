#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "media-fixtures/facts.h"
#include "tests/system/service_test.h"

// The command line against a running service: output and exit status.

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
  // Runs a command with --json, which must succeed.
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

TEST_F(CliTest, ADeadJobExitsWithOneAndPrintsTheReason) {
  Service& service = Begin();
  const CommandResult result = Millrace(service, {"submit", fixtures::FixturePath("garbage.mp4"),
                                                  "--preset", "mp4-h264-480p", "--wait"});
  EXPECT_EQ(result.end.exit_status, 1);
  EXPECT_THAT(result.out + result.err, HasSubstr("not_media"));
}

TEST_F(CliTest, AFailureCanBeExaminedAndRepeatedWithTheCommandLineAlone) {
  Service& service = Begin({.workers = 1});
  const CommandResult died =
      Millrace(service, {"submit", fixtures::FixturePath("truncated-no-moov.mp4"), "--preset",
                         "mp4-h264-480p", "--wait"});
  ASSERT_EQ(died.end.exit_status, 1) << died.err;
  const json letters = MillraceJson(service, {"dead", "ls", "--blame", "media"}).at("dead_letters");
  ASSERT_EQ(letters.size(), 1u);
  const std::string id = letters[0].at("job");
  EXPECT_THAT(died.out, HasSubstr("millrace dead show " + id));
  EXPECT_EQ(MillraceJson(service, {"dead", "ls", "--group"}).at("groups")[0].at("count"), 1);
  const std::string shown = Millrace(service, {"dead", "show", id}).out;
  EXPECT_THAT(shown, HasSubstr("must act    whoever made the file"));
  EXPECT_THAT(shown, HasSubstr("moov atom not found"));
  EXPECT_THAT(Millrace(service, {"dead", "log", id}).out, HasSubstr("moov atom not found"));

  const std::filesystem::path folder = service.download_dir() / "dead";
  const CommandResult fetched = Millrace(service, {"dead", "fetch", id, folder.string()});
  ASSERT_EQ(fetched.end.exit_status, 0) << fetched.err;
  const CommandResult again =
      RunCommand({.program = folder / "repro.sh",
                  .environment = {"MILLRACE_ENCODE=" + ProgramPath("millrace-encode").string()}},
                 kJobLimit);
  EXPECT_EQ(again.end.exit_status, 0) << again.out << again.err;
}

TEST_F(CliTest, ADeadJobSucceedsWithAChangedSpec) {
  Service& service = Begin({.workers = 1});
  ASSERT_EQ(
      Millrace(service, {"submit", fixtures::FixturePath("audio-pcm.wav"), "--poster", "--wait"})
          .end.exit_status,
      1);
  const json letters = MillraceJson(service, {"dead", "ls"}).at("dead_letters");
  ASSERT_EQ(letters.size(), 1u);
  const std::string id = letters[0].at("job");
  const CommandResult redriven = Millrace(
      service,
      {"dead", "redrive", id, "--wait", "--spec",
       R"({"outputs": [{"name": "sound", "container": "m4a", "audio": {"codec": "aac"}}]})"});
  EXPECT_EQ(redriven.end.exit_status, 0) << redriven.err;
  EXPECT_EQ(redriven.out, "1 of 1 succeeded\n");
  EXPECT_EQ(MillraceJson(service, {"show", id}).at("generation"), 2);
  EXPECT_EQ(MillraceJson(service, {"dead", "ls"}).at("dead_letters").size(), 0u);
  EXPECT_EQ(Millrace(service, {"dead", "redrive", id}).end.exit_status, 3);
}

TEST_F(CliTest, ADeadCanaryKeepsTheOthersInTheQueue) {
  Service& service = Begin({.workers = 1});
  for (const char* bad : {"garbage.mp4", "text.mp4", "zeros.mp4"}) {
    Millrace(service,
             {"submit", fixtures::FixturePath(bad), "--preset", "mp4-h264-480p", "--wait"});
  }
  EXPECT_EQ(Millrace(service, {"dead", "redrive", "--all", "--dry-run"}).out,
            "3 dead letters would be redriven\n");
  EXPECT_EQ(Millrace(service, {"dead", "redrive", "--all"}).end.exit_status, 2);
  const CommandResult canary =
      Millrace(service, {"dead", "redrive", "--all", "--canary", "--wait", "--yes"});
  EXPECT_EQ(canary.end.exit_status, 1);
  EXPECT_THAT(canary.out, HasSubstr("0 of 1 succeeded\n"));
  EXPECT_THAT(canary.err, HasSubstr("the others stay in the queue: 2"));
  EXPECT_EQ(Millrace(service, {"dead", "purge", "--code", "not_media", "--yes"}).out,
            "3 dead letters purged\n");
  EXPECT_EQ(Millrace(service, {"dead", "purge", "--all", "--yes"}).out,
            "0 dead letters to purge\n");
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

TEST_F(CliTest, ProbePresetsWorkersAndQueuePrintTheirViews) {
  Service& service = Begin({.workers = 2});
  EXPECT_THAT(MillraceJson(service, {"probe", fixtures::FixturePath("rotated-90.mp4")}).dump(),
              HasSubstr("h264"));
  EXPECT_GE(MillraceJson(service, {"presets"}).at("presets").size(), 11u);
  EXPECT_EQ(MillraceJson(service, {"presets", "poster"}).at("name"), "poster");
  EXPECT_EQ(MillraceJson(service, {"workers"}).at("workers").size(), 2u);
  EXPECT_EQ(MillraceJson(service, {"queue"}).at("workers"), 2);
  EXPECT_THAT(Millrace(service, {"workers"}).out, HasSubstr(service.WorkerName(1)));
}

TEST_F(CliTest, EachKindOfErrorHasItsExitStatus) {
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

TEST_F(CliTest, TheDemoPrintsItsOutputsAndStopsEverything) {
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
