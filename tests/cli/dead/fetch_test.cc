// `millrace dead fetch` and `millrace dead input`: the files that they write.

#include <fcntl.h>
#include <gmock/gmock.h>

#include <algorithm>
#include <condition_variable>
#include <csignal>
#include <mutex>

#include "cli/client/partial_file.h"
#include "core/base/files.h"
#include "core/base/unique_fd.h"
#include "tests/cli/dead/fixture.h"

namespace millrace::cli {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

// Serves the folder of WholeLetterOf(kJobId).
FakeHttpReply FolderOf(const FakeHttpRequest& request) {
  const std::string& target = request.target;
  if (target == "/v1/dead-letters/job_01") return Json(200, WholeLetterOf(kJobId));
  if (target.ends_with("/files/input")) return {200, "bytes", {}};
  if (target.ends_with("/files/log-9.txt")) return {200, "log", {}};
  if (target.ends_with("/files/repro.sh")) return {200, "#!/bin/sh\n", {}};
  if (target.ends_with("/files/report.json")) return {200, "{}", {}};
  return NoLetter();
}

class DeadFetchTest : public CommandsTest {
 protected:
  std::vector<std::string> NamesIn(const std::filesystem::path& folder) {
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(folder)) {
      names.push_back(entry.path().filename().string());
    }
    std::ranges::sort(names);
    return names;
  }

  const std::filesystem::path folder_ = dir_.path() / "out";
};

TEST_F(DeadFetchTest, FetchDownloadsTheFolderWithAnExecutableScript) {
  const ProgramResult result = Run({"dead", "fetch", kJobId, folder_.string()}, FolderOf);
  EXPECT_EQ(result.status, 0) << result.err;
  EXPECT_THAT(NamesIn(folder_), ElementsAre("input", "log-9.txt", "report.json", "repro.sh"));
  EXPECT_EQ(ReadWholeFile(folder_ / "input"), "bytes");
  EXPECT_EQ(requests_.back().target, "/v1/dead-letters/job_01/files/repro.sh");
  using std::filesystem::perms;
  const auto rights = [&](const char* name) {
    return std::filesystem::status(folder_ / name).permissions();
  };
  EXPECT_NE(rights("repro.sh") & perms::owner_exec, perms::none);
  EXPECT_EQ(rights("input") & perms::owner_exec, perms::none);
  EXPECT_THAT(result.out, HasSubstr((folder_ / "repro.sh").string() + "\n"));
}

TEST_F(DeadFetchTest, FetchDownloadsAnInputOfTheLibraryToo) {
  bool is_there = true;
  const auto answer = [&is_there](const FakeHttpRequest& request) {
    if (request.target.ends_with("/job_01/input")) {
      return is_there ? FakeHttpReply{200, "library", {}} : NoLetter();
    }
    FakeHttpReply reply = FolderOf(request);
    if (request.target != "/v1/dead-letters/job_01") return reply;
    json letter = WholeLetterOf(kJobId);
    letter["files"].erase(0);
    return Json(200, letter);
  };
  EXPECT_EQ(Run({"dead", "fetch", kJobId, folder_.string()}, answer).status, 0);
  EXPECT_EQ(ReadWholeFile(folder_ / "input"), "library");
  std::filesystem::remove_all(folder_);
  is_there = false;
  const ProgramResult result = Run({"dead", "fetch", kJobId, folder_.string()}, answer);
  EXPECT_EQ(result.status, 0);
  EXPECT_EQ(result.err, "millrace: the input is gone; repro.sh needs it as its argument\n");
  EXPECT_THAT(NamesIn(folder_), ElementsAre("log-9.txt", "report.json", "repro.sh"));
}

TEST_F(DeadFetchTest, FetchWritesTheScriptLast) {
  const ProgramResult result =
      Run({"dead", "fetch", kJobId, folder_.string()}, [](const FakeHttpRequest& request) {
        FakeHttpReply reply = FolderOf(request);
        if (request.target.ends_with("/log-9.txt")) reply.body = "not what was promised";
        return reply;
      });
  EXPECT_EQ(result.status, 1);
  EXPECT_THAT(NamesIn(folder_), ElementsAre("input"));
}

TEST_F(DeadFetchTest, AKilledFetchLeavesNoPartialFiles) {
  {
    const UniqueFd nameless(open(dir_.path().c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600));
    if (!nameless) GTEST_SKIP() << "this file system has no files without a name";
  }
  std::mutex mutex;
  std::condition_variable changed;
  bool asked = false;
  bool killed = false;
  const FakeHttpServer server([&](const FakeHttpRequest& request) {
    if (request.target.ends_with("/files/input")) {
      std::unique_lock lock(mutex);
      asked = true;
      changed.notify_all();
      changed.wait_for(lock, std::chrono::seconds(30), [&] { return killed; });
    }
    return FolderOf(request);
  });
  RunningProgram program(MillraceProgram(),
                         {"dead", "fetch", kJobId, folder_.string(), "--url", server.url()});
  {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, std::chrono::seconds(30), [&] { return asked; }));
  }
  program.Signal(SIGKILL);
  EXPECT_EQ(program.WaitForEnd(), -SIGKILL);
  {
    const std::lock_guard lock(mutex);
    killed = true;
  }
  changed.notify_all();
  EXPECT_TRUE(NamesIn(folder_).empty());
}

TEST_F(DeadFetchTest, FetchNeverWritesOutsideItsFolder) {
  for (const char* name : {"../evil", "/tmp/evil", "a/b", "..", ".", ""}) {
    const ProgramResult result =
        Run({"dead", "fetch", kJobId, folder_.string()}, [name](const FakeHttpRequest&) {
          json letter = WholeLetterOf(kJobId);
          letter["files"].push_back({{"name", name}, {"bytes", 1}, {"url", "x"}});
          return Json(200, letter);
        });
    EXPECT_EQ(result.status, 1) << name;
    EXPECT_EQ(requests_.size(), 1) << name;
  }
}

TEST_F(DeadFetchTest, FetchOfARemovedFolderExitsWithThree) {
  const ProgramResult result =
      Run({"dead", "fetch", kJobId, folder_.string()}, [](const FakeHttpRequest&) {
        json letter = LetterOf(kJobId);
        letter["state"] = "purged";
        letter["files"] = json::array();
        return Json(200, letter);
      });
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.err, "millrace: the folder of dead letter job_01 is gone: it is purged\n");
}

TEST_F(DeadFetchTest, FetchReportsAMissingFolderOfAnOpenLetter) {
  const ProgramResult result =
      Run({"dead", "fetch", kJobId, folder_.string()}, [](const FakeHttpRequest&) {
        json letter = LetterOf(kJobId);
        letter["files"] = json::array();
        return Json(200, letter);
      });
  EXPECT_EQ(result.status, 3);
  EXPECT_EQ(result.err,
            "millrace: dead letter job_01 is open, but the service does not find its folder\n");
}

TEST_F(DeadFetchTest, InputWritesTheFailingFileToAFileOrStandardOutput) {
  const auto answer = [](const FakeHttpRequest& request) {
    EXPECT_EQ(request.target, "/v1/dead-letters/job_01/input");
    return FakeHttpReply{200, std::string("by\0tes", 6), {}};
  };
  const std::string file = (dir_.path() / "failing.mov").string();
  EXPECT_EQ(Run({"dead", "input", kJobId, file}, answer).out, file + "\n");
  EXPECT_EQ(ReadWholeFile(file), std::string("by\0tes", 6));
  EXPECT_EQ(Run({"dead", "input", kJobId, "-"}, answer).out, std::string("by\0tes", 6));
}

TEST_F(DeadFetchTest, KeepsFilesWithNamesLikePartialFiles) {
  std::filesystem::create_directories(folder_);
  std::ofstream(folder_ / "input.part") << "mine";
  EXPECT_EQ(Run({"dead", "fetch", kJobId, folder_.string()}, FolderOf).status, 0);
  EXPECT_EQ(ReadWholeFile(folder_ / "input.part"), "mine");
  EXPECT_THAT(NamesIn(folder_),
              ElementsAre("input", "input.part", "log-9.txt", "report.json", "repro.sh"));
}

class DeadInputTest : public DeadFetchTest {
 protected:
  // Runs the command in an empty folder, for a letter whose input had this name.
  ProgramResult RunHere(const json& input_name) {
    const FakeHttpServer server([&input_name](const FakeHttpRequest& request) {
      if (request.target.ends_with("/input")) return FakeHttpReply{200, "bytes", {}};
      json letter = WholeLetterOf(kJobId);
      letter["input_name"] = input_name;
      return Json(200, letter);
    });
    std::filesystem::create_directories(folder_);
    RunningProgram program("/usr/bin/env", {"-C", folder_.string(), MillraceProgram().string(),
                                            "dead", "input", kJobId, "--url", server.url()});
    const int status = program.WaitForEnd();
    return {.status = status, .out = program.out(), .err = program.err()};
  }
};

TEST_F(DeadInputTest, UsesASafeFormOfTheInputsOwnName) {
  const std::vector<std::pair<json, std::string>> cases = {
      {"holiday.mov", "holiday.mov"},  {".bashrc", "_bashrc"}, {"../up.mp4", "_._up.mp4"},
      {"a\x1b[31m.mp4", "a_[31m.mp4"}, {nullptr, "input"},     {"", "input"}};
  for (const auto& [input_name, name] : cases) {
    std::filesystem::remove_all(folder_);
    const ProgramResult result = RunHere(input_name);
    EXPECT_EQ(result.status, 0) << result.err;
    EXPECT_EQ(result.out, name + "\n");
    EXPECT_THAT(NamesIn(folder_), ElementsAre(name));
  }
}

TEST_F(DeadInputTest, DoesNotReplaceAnExistingFile) {
  std::filesystem::create_directories(folder_);
  for (const json& input_name : {json("holiday.mov"), json(nullptr)}) {
    const std::string name = input_name.is_null() ? "input" : "holiday.mov";
    std::ofstream(folder_ / name) << "mine";
    const ProgramResult result = RunHere(input_name);
    EXPECT_EQ(result.status, 2);
    EXPECT_THAT(result.err, HasSubstr("there is a file " + name + " here already"));
    EXPECT_EQ(ReadWholeFile(folder_ / name), "mine");
  }
}

TEST(PartialFile, DoesNotReplaceAFileThatAppearsMeanwhile) {
  const TempDir dir;
  const std::filesystem::path target = dir.path() / "clip.mp4";
  {
    PartialFile partial(target);
    partial.Write(std::string_view("theirs"));
    std::ofstream(target) << "mine";
    EXPECT_THROW(partial.Keep(PartialFile::IfThere::kRefuse), Error);
  }
  EXPECT_EQ(ReadWholeFile(target), "mine");
  PartialFile again(target);
  again.Write(std::string_view("theirs"));
  again.Keep();
  EXPECT_EQ(ReadWholeFile(target), "theirs");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir.path()), {}), 1);
}

TEST(PartialFile, AcceptsTheLongestFileNames) {
  const TempDir dir;
  const std::filesystem::path target = dir.path() / std::string(255, 'n');
  PartialFile partial(target);
  partial.Keep();
  EXPECT_TRUE(std::filesystem::exists(target));
}

}  // namespace
}  // namespace millrace::cli
