#include "core/media/dead_letter_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>

#include <cstdlib>
#include <fstream>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/id.h"
#include "tests/fakes/temp_dir.h"

namespace millrace {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;
using testing::HasSubstr;

struct ReproCall {
  std::string argument = {};
  std::string encoder = {};  // in the place of the fake one
};

class DeadLetterFolderTest : public testing::Test {
 protected:
  DeadLetterFolderTest() {
    fs::create_directories(folder_);
    fs::create_directories(work_ / "out");
    Write(dir_.path() / "data", "bad media");
    Write(work_ / "log.txt", "a line of the log\n");
    letter_.task = {{"version", 1},
                    {"input_path", "in.mov"},
                    {"output_dir", "out"},
                    {"spec", {{"output_dir", "decoy"}}}};
  }

  static void Write(const fs::path& path, const std::string& content) {
    std::ofstream(path) << content;
  }

  void Fill() { FillDeadLetterFolder(letter_, sources_, folder_); }
  json Report() { return json::parse(ReadWholeFile(folder_ / "report.json")); }
  json Task() { return json::parse(ReadWholeFile(folder_ / "task.json")); }

  // Runs repro.sh with an encoder that does `body`; returns its exit status and fills said_.
  int Repro(const std::string& body, const ReproCall& call = {}) {
    const fs::path fake = dir_.path() / "fake encode";
    Write(fake, "#!/bin/sh\n" + body + "\n");
    fs::permissions(fake, fs::perms::owner_all);
    const fs::path said = dir_.path() / "said";
    const std::string encoder = call.encoder.empty() ? fake.string() : call.encoder;
    std::string command =
        "MILLRACE_ENCODE='" + encoder + "' '" + (folder_ / "repro.sh").string() + "'";
    if (!call.argument.empty()) command += " '" + call.argument + "'";
    const int status = std::system((command + " >'" + said.string() + "' 2>&1").c_str());
    said_ = ReadWholeFile(said);
    return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }

  TempDir dir_;
  // Characters that the shell reads in its own way.
  const fs::path folder_ = dir_.path() / R"(dead & "odd" \| letter)";
  const fs::path work_ = dir_.path() / "tsk_1.7";
  DeadLetter letter_{.job_id = NewJobId(),
                     .report = {{"version", 2}},
                     .input = {},
                     .attempts = {},
                     .task = nullptr,
                     .expected_code = "corrupt_media",
                     .abandon = {}};
  DeadLetterSources sources_{.input = dir_.path() / "data", .attempts = {{7, work_}}};
  std::string said_;
};

TEST_F(DeadLetterFolderTest, HoldsTheFilesThatTheReportLists) {
  Write(work_ / "excerpt.mkv", "a piece");
  Fill();
  const json report = Report();
  EXPECT_EQ(report["files"],
            json({"excerpt.mkv", "input", "log-7.txt", "repro.sh", "task.json", "report.json"}));
  EXPECT_EQ(report["excerpt"], "excerpt.mkv");
  EXPECT_EQ(report["input"]["file"], "input");
  EXPECT_EQ(ReadWholeFile(folder_ / "input"), "bad media");
  EXPECT_EQ(ReadWholeFile(folder_ / "excerpt.mkv"), "a piece");
  EXPECT_EQ(ReadWholeFile(folder_ / "log-7.txt"), "a line of the log\n");
  EXPECT_EQ(fs::hard_link_count(folder_ / "input"), 2U);
}

TEST_F(DeadLetterFolderTest, KeepsTheTaskOfTheLastAttemptWithPathsInTheFolder) {
  Write(work_ / "task.json", json({{"version", 1},
                                   {"threads", 3},
                                   {"input_path", "/data/uploads/x/data"},
                                   {"output_dir", "/data/work/tsk_1.7/out"}})
                                 .dump());
  Fill();
  EXPECT_EQ(Task()["threads"], 3);
  EXPECT_EQ(Task()["input_path"], "input");
  EXPECT_EQ(Task()["output_dir"], "out");
}

TEST_F(DeadLetterFolderTest, KeepsTheNextTaskIfNoAttemptLeftOne) {
  sources_ = {};
  Fill();
  EXPECT_EQ(Task()["input_path"], "in.mov");
  EXPECT_EQ(Report()["input"]["file"], nullptr);
  EXPECT_EQ(Report()["excerpt"], nullptr);
}

TEST_F(DeadLetterFolderTest, DoesNotFollowSymlinksInAWorkFolder) {
  Write(dir_.path() / "secret", "secret");
  fs::remove(work_ / "log.txt");
  for (const char* name : {"log.txt", "excerpt.mkv", "task.json"}) {
    fs::create_symlink(dir_.path() / "secret", work_ / name);
  }
  Fill();
  EXPECT_FALSE(fs::exists(folder_ / "log-7.txt"));
  EXPECT_EQ(Report()["excerpt"], nullptr);
  EXPECT_EQ(Task()["input_path"], "input");
}

TEST_F(DeadLetterFolderTest, SaysWhatTheFailureEndsWith) {
  Fill();
  EXPECT_EQ(Report()["expected_code"], "corrupt_media");
}

TEST_F(DeadLetterFolderTest, ReproHandsItsFolderToTheEncoder) {
  Fill();
  const std::string show = R"(for each in "$@"; do echo "[$each]"; done; exit 1)";
  EXPECT_EQ(Repro(show), 1) << said_;
  EXPECT_EQ(said_, "[--repro]\n[" + fs::canonical(folder_).string() + "]\n");
}

TEST_F(DeadLetterFolderTest, ReproTakesAnotherInput) {
  Fill();
  const std::string show = R"(echo "$3=$4")";
  EXPECT_EQ(Repro(show, {.argument = "an excerpt.mkv"}), 0);
  EXPECT_EQ(said_, "--input=an excerpt.mkv\n");
}

TEST_F(DeadLetterFolderTest, ReproSaysThatThereIsNoEncoder) {
  Fill();
  EXPECT_EQ(Repro("exit 0", {.encoder = "/no/such"}), 2);
  EXPECT_THAT(said_, HasSubstr("there is no /no/such"));
}

TEST(CopyFile, CopiesAllBytesAndOverwritesNothing) {
  const TempDir dir;
  const std::string content(3'000'000, 'x');
  std::ofstream(dir.path() / "a") << content;
  CopyFile(dir.path() / "a", dir.path() / "b", {});
  EXPECT_EQ(ReadWholeFile(dir.path() / "b"), content);
  EXPECT_THROW(CopyFile(dir.path() / "a", dir.path() / "b", {}), Error);
  LinkOrCopy(dir.path() / "a", dir.path() / "c", {});
  EXPECT_THROW(LinkOrCopy(dir.path() / "a", dir.path() / "c", {}), Error);
  EXPECT_EQ(ReadWholeFile(dir.path() / "a"), content);
}

TEST(CopyFile, StopsWhenAbandoned) {
  // Copy within /dev/shm, which cannot clone: a clone is over at once and cannot be abandoned.
  const fs::path folder = fs::path("/dev/shm") / NewId("mr-");
  std::error_code error;
  if (!fs::create_directory(folder, error)) GTEST_SKIP() << "no /dev/shm to write to";
  std::ofstream(folder / "a") << "content";
  std::stop_source stop;
  stop.request_stop();
  try {
    CopyFile(folder / "a", folder / "b", stop.get_token());
    ADD_FAILURE() << "copied";
  } catch (const Error& broken) {
    EXPECT_EQ(broken.code(), ErrorCode::kDraining);
  }
  fs::remove_all(folder);
}

}  // namespace
}  // namespace millrace
