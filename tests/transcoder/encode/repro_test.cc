// millrace-encode --repro: does a dead letter's attempt end as it did?
#include "transcoder/encode/process/repro.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "core/base/files.h"
#include "media-fixtures/process.h"
#include "tests/transcoder/encode/encode_task.h"

namespace millrace::encode {
namespace {

namespace fs = std::filesystem;
using fixtures::FixturePath;
using fixtures::RunProcess;
using testing::HasSubstr;

constexpr int Exited(int status) { return status << 8; }

class ReproTest : public testing::Test {
 protected:
  // A dead letter of a job that was to make an MP4 of `input`.
  void Bury(const fs::path& input, const std::string& expected_code) {
    fs::create_directories(folder_);
    fs::copy_file(input, folder_ / "input");
    TaskDocument task = runner_.Document(input, {Mp4()});
    task.input_path = "input";
    task.output_dir = "out";
    WriteFileDurably(folder_ / "task.json", ToJson(task).dump());
    WriteFileDurably(folder_ / "report.json",
                     nlohmann::json({{"version", 2}, {"expected_code", expected_code}}).dump());
  }

  // Returns standard error as part of `out`.
  fixtures::ProcessResult Repro(const std::vector<std::string>& more = {}) {
    std::vector<std::string> command = {
        "sh", "-c", "exec \"$@\" 2>&1", "sh", MILLRACE_ENCODE, "--repro", folder_.string()};
    command.insert(command.end(), more.begin(), more.end());
    return RunProcess(command);
  }

  TempDir dir_;
  TaskRunner runner_;
  const fs::path folder_ = dir_.path() / R"(a "dead" letter)";
};

TEST_F(ReproTest, ReproducesAFailure) {
  Bury(FixturePath("truncated-no-moov.mp4"), "corrupt_media");
  const auto ended = Repro();
  EXPECT_EQ(ended.exit_code, kReproduced) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr(R"("code":"corrupt_media")"));
  EXPECT_THAT(ended.out, HasSubstr("repro: exit status 1; report, log and outputs are in /"));
  EXPECT_THAT(ended.out, HasSubstr("repro: reproduced: corrupt_media\n"));
}

TEST_F(ReproTest, SaysThatAnAttemptNowSucceeds) {
  Bury(FixturePath("mkv-h264-aac.mkv"), "corrupt_media");
  const auto ended = Repro();
  EXPECT_EQ(ended.exit_code, kNotReproduced);
  EXPECT_THAT(ended.out, HasSubstr("not reproduced: expected corrupt_media, this time none\n"));
}

TEST_F(ReproTest, TriesAnotherInput) {
  Bury(FixturePath("mkv-h264-aac.mkv"), "corrupt_media");
  const auto ended = Repro({"--input", FixturePath("truncated-no-moov.mp4")});
  EXPECT_EQ(ended.exit_code, kReproduced) << ended.out;
}

TEST_F(ReproTest, EndsAtItsLimit) {
  Bury(FixturePath("mkv-h264-aac.mkv"), "stalled");
  const auto ended = Repro({"--seconds", "0.001"});
  EXPECT_EQ(ended.exit_code, kReproduced) << ended.out;
  EXPECT_THAT(ended.out, HasSubstr("ended by SIGKILL"));
}

TEST_F(ReproTest, SaysWhatIsMissing) {
  const auto nothing = Repro();
  EXPECT_EQ(nothing.exit_code, kNotRun);
  EXPECT_THAT(nothing.out, HasSubstr("report.json"));
  Bury(FixturePath("mkv-h264-aac.mkv"), "corrupt_media");
  fs::remove(folder_ / "input");
  const auto no_input = Repro();
  EXPECT_EQ(no_input.exit_code, kNotRun);
  EXPECT_THAT(no_input.out, HasSubstr("there is no input"));
}

TEST(AttemptEnd, HasTheCodeThatAWorkerWouldRecord) {
  EXPECT_EQ(CodeOf({.wait_status = Exited(0), .last_line = R"({"type":"result"})"}), "none");
  EXPECT_EQ(CodeOf({.wait_status = Exited(1),
                    .last_line = R"({"type":"error","error":{"code":"no_decoder"}})"}),
            "no_decoder");
  EXPECT_EQ(CodeOf({.wait_status = SIGSEGV, .last_line = R"({"type":"started"})"}),
            "encoder_crashed");
  EXPECT_EQ(CodeOf({.wait_status = Exited(3), .last_line = "half a li"}), "encode_failed");
  EXPECT_EQ(CodeOf({.wait_status = SIGKILL, .timed_out = true, .last_line = ""}), "stalled");
}

TEST(AttemptEnd, RepeatsAFailureOfTheSameCodeOnly) {
  const AttemptEnd crash{.wait_status = SIGSEGV, .last_line = ""};
  EXPECT_TRUE(Repeats("encoder_crashed", crash));
  EXPECT_FALSE(Repeats("corrupt_media", crash));
  EXPECT_FALSE(Repeats("out_of_memory", crash));
}

TEST(AttemptEnd, BlamesAKillFromOutsideOnMemory) {
  EXPECT_TRUE(Repeats("out_of_memory", {.wait_status = SIGKILL, .last_line = ""}));
  EXPECT_FALSE(
      Repeats("out_of_memory", {.wait_status = SIGKILL, .timed_out = true, .last_line = ""}));
}

}  // namespace
}  // namespace millrace::encode
