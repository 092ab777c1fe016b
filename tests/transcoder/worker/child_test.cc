#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>

#include "core/base/error.h"
#include "tests/fakes/temp_dir.h"
#include "transcoder/worker/capabilities.h"
#include "transcoder/worker/child/excerpt.h"
#include "transcoder/worker/child/log_tail.h"
#include "transcoder/worker/child/memory_watch.h"
#include "transcoder/worker/child/outcome.h"
#include "transcoder/worker/child/report_stream.h"
#include "transcoder/worker/lease.h"
#include "transcoder/worker/settings.h"

namespace millrace::worker {
namespace {

namespace fs = std::filesystem;
using testing::ElementsAre;
using testing::HasSubstr;

// --- Reports -------------------------------------------------------------------------------------

TEST(LineSplitterTest, PutsLinesTogetherThatCameInPieces) {
  LineSplitter lines;
  EXPECT_THAT(lines.Feed(std::string_view("{\"a\":")), ElementsAre());
  EXPECT_THAT(lines.Feed(std::string_view("1}\n\n{}\n{\"b")), ElementsAre("{\"a\":1}", "{}"));
  EXPECT_THAT(lines.Feed(std::string_view("\"}\n")), ElementsAre("{\"b\"}"));
}

TEST(LineSplitterTest, DropsALineThatIsTooLongAndGoesOnWithTheNext) {
  LineSplitter lines;
  const std::string piece(kMaxReportLineBytes / 2 + 1, 'x');
  EXPECT_THAT(lines.Feed(piece), ElementsAre());
  EXPECT_THAT(lines.Feed(piece), ElementsAre());
  EXPECT_THAT(lines.Feed(piece), ElementsAre());
  EXPECT_THAT(lines.Feed(std::string_view("tail\nnext\n")), ElementsAre("next"));
  EXPECT_EQ(lines.dropped(), 1);
}

TEST(ParseReportTest, RefusesLinesThatAreNoReports) {
  for (const char* line :
       {"", "nonsense", "[]", "{}", R"({"type":1})", R"({"type":"other"})", R"({"type":"media"})",
        R"({"type":"progress","progress":{}})", R"({"type":"result","manifest":7})",
        R"({"type":"result","manifest":{"files":[{"path":"../x"}],"warnings":[],"media":null}})"}) {
    EXPECT_THROW(ParseReport(line), Error) << line;
  }
}

TEST(ParseReportTest, RefusesReportsTooLargeForAMessageOrTooDeepForTheStack) {
  const auto media = [](const std::string& text) {
    return R"({"type":"media","media":)" + text + "}";
  };
  const std::string deep =
      std::string(kMaxReportDepth - 1, '[') + std::string(kMaxReportDepth - 1, ']');
  EXPECT_NO_THROW(ParseReport(media(deep)));
  EXPECT_THROW(ParseReport(media("[" + deep + "]")), Error);
  EXPECT_THROW(ParseReport(media(std::string(1'000'000, '['))), Error);
  EXPECT_NO_THROW(ParseReport(media('"' + std::string(kMaxMediaBytes - 2, 'x') + '"')));
  EXPECT_THROW(ParseReport(media('"' + std::string(kMaxMediaBytes, 'x') + '"')), Error);
  // Numbers that are printed longer than they were written.
  std::string numbers = "[1e9";
  while (numbers.size() < kMaxMediaBytes / 2) numbers += ",1e9";
  EXPECT_THROW(ParseReport(media(numbers + "]")), Error);

  nlohmann::json progress = {{"type", "progress"}, {"progress", ToJson(Progress())}};
  EXPECT_NO_THROW(ParseReport(progress.dump()));
  progress["progress"]["phase"] = std::string(kMaxProgressBytes, 'x');
  EXPECT_THROW(ParseReport(progress.dump()), Error);
}

TEST(ParseReportTest, RefusesAResultOrErrorTooLargeToPassOn) {
  std::string numbers = "[1e9";
  while (numbers.size() < kMaxEndBytes * 3 / 4) numbers += ",1e9";
  numbers += "]";
  EXPECT_THROW(ParseReport(R"({"type":"error","error":{"code":"no_streams","detail":"x",)"
                           R"("context":{"numbers":)" +
                           numbers + "}}}"),
               Error);
  const auto result = [](size_t media_bytes) {
    const nlohmann::json manifest = {{"files", nlohmann::json::array()},
                                     {"warnings", nlohmann::json::array()},
                                     {"media", std::string(media_bytes, 'x')}};
    return nlohmann::json{{"type", "result"}, {"manifest", manifest}}.dump();
  };
  EXPECT_NO_THROW(ParseReport(result(kMaxMediaBytes - 2)));
  EXPECT_THROW(ParseReport(result(kMaxMediaBytes)), Error);
}

TEST(ParseReportTest, ReadsTheErrorOfATask) {
  const Report report =
      ParseReport(R"({"type":"error","error":{"code":"no_streams","detail":"only subtitles"}})");
  const auto* error = std::get_if<Error>(&report);
  ASSERT_NE(error, nullptr);
  EXPECT_EQ(error->code(), ErrorCode::kNoStreams);
  EXPECT_STREQ(error->what(), "only subtitles");
}

// --- How a child ended ---------------------------------------------------------------------------

constexpr int Exited(int status) { return status << 8; }

ErrorCode FailureOf(ChildEnd end) {
  const Outcome outcome = Judge(std::move(end));
  const auto* failed = std::get_if<RunFailed>(&outcome);
  return failed == nullptr ? ErrorCode::kInternal : failed->error.code();
}

TEST(OutcomeTest, IsASuccessOnlyWithAResultAndStatusZero) {
  ChildEnd good;
  good.wait_status = Exited(0);
  good.manifest = Manifest{};
  EXPECT_TRUE(std::holds_alternative<RunFinished>(Judge(good)));

  ChildEnd silent = good;
  silent.manifest.reset();
  EXPECT_EQ(FailureOf(silent), ErrorCode::kEncodeFailed);

  ChildEnd bad_status = good;
  bad_status.wait_status = Exited(3);
  EXPECT_EQ(FailureOf(bad_status), ErrorCode::kEncodeFailed);

  ChildEnd crashed = good;
  crashed.wait_status = SIGSEGV;
  EXPECT_EQ(FailureOf(crashed), ErrorCode::kEncoderCrashed);

  ChildEnd contradicts_itself = good;
  contradicts_itself.error = Error(ErrorCode::kCorruptMedia, "damaged");
  EXPECT_EQ(FailureOf(contradicts_itself), ErrorCode::kCorruptMedia);
}

TEST(OutcomeTest, NamesTheSignalAndWhereTheChildWas) {
  ChildEnd end;
  end.wait_status = SIGABRT;
  end.progress.phase = "transcoding";
  end.progress.media_seconds = 12.5;
  const Outcome outcome = Judge(end);
  const auto& failed = std::get<RunFailed>(outcome);
  EXPECT_EQ(failed.error.context().at("signal"), "SIGABRT");
  EXPECT_EQ(failed.error.context().at("phase"), "transcoding");
  EXPECT_EQ(failed.error.context().at("media_seconds"), 12.5);
  EXPECT_EQ(failed.usage.signal, SIGABRT);
  EXPECT_EQ(failed.usage.exit_status, std::nullopt);
}

TEST(OutcomeTest, AddsTheProgressOfTheChildToItsError) {
  ChildEnd end;
  end.wait_status = Exited(1);
  end.progress.phase = "transcoding";
  end.progress.media_seconds = 12.5;
  end.error = Error(ErrorCode::kCorruptMedia, "damaged", {{"stage", "decode"}, {"percent", 7}});
  const Outcome outcome = Judge(end);
  EXPECT_EQ(std::get<RunFailed>(outcome).error.context(),
            nlohmann::json({{"stage", "decode"},
                            {"percent", 7},
                            {"phase", "transcoding"},
                            {"media_seconds", 12.5}}));
}

TEST(OutcomeTest, NamesNoPlaceInTheMediaBeforeTranscodingBegan) {
  ChildEnd end;
  end.wait_status = SIGSEGV;
  end.progress.phase = "probing";
  const Outcome outcome = Judge(end);
  EXPECT_FALSE(std::get<RunFailed>(outcome).error.context().contains("media_seconds"));
}

// --- Excerpts ------------------------------------------------------------------------------------

constexpr int64_t kLarge = kMinExcerptInputBytes;

TEST(ExcerptTest, IsCutWhereTheInputBroke) {
  const Error broken(ErrorCode::kCorruptMedia, "x", {{"pts_seconds", 7.5}, {"media_seconds", 3}});
  EXPECT_EQ(ExcerptFor(broken, {}, kLarge), (ExcerptSpec{.pts_seconds = 7.5, .media_seconds = {}}));
}

TEST(ExcerptTest, IsCutWhereACrashedEncoderHadCome) {
  const Error crash(ErrorCode::kEncoderCrashed, "x", {{"media_seconds", 3.0}});
  EncodeSpec spec;
  EXPECT_EQ(ExcerptFor(crash, spec, kLarge)->media_seconds, 3.0);
  spec.clip = ClipSpec{.start_seconds = 60};
  EXPECT_EQ(ExcerptFor(crash, spec, kLarge)->media_seconds, 63.0);
}

TEST(ExcerptTest, IsNotCutWhereItWouldBeOfNoUse) {
  const nlohmann::json where = {{"media_seconds", 3.0}};
  EXPECT_FALSE(ExcerptFor(Error(ErrorCode::kEncoderCrashed, "x", where), {}, kLarge - 1));
  EXPECT_FALSE(ExcerptFor(Error(ErrorCode::kEncoderCrashed, "x"), {}, kLarge));
  EXPECT_FALSE(ExcerptFor(Error(ErrorCode::kWorkerDiskFull, "x", where), {}, kLarge));
  for (const nlohmann::json& nonsense : {nlohmann::json("3"), nlohmann::json(1e300)}) {
    EXPECT_FALSE(ExcerptFor(Error(ErrorCode::kEncoderCrashed, "x", {{"pts_seconds", nonsense}}), {},
                            kLarge));
  }
}

TEST(OutcomeTest, BlamesMemoryForASigkillOnlyWithEvidence) {
  ChildEnd end;
  end.wait_status = SIGKILL;
  EXPECT_EQ(FailureOf(end), ErrorCode::kEncoderCrashed);
  end.memory_pressure = true;
  EXPECT_EQ(FailureOf(end), ErrorCode::kOutOfMemory);
  end.wait_status = SIGSEGV;
  EXPECT_EQ(FailureOf(end), ErrorCode::kEncoderCrashed);
}

TEST(OutcomeTest, BlamesTheWorkerIfTheZygoteDiedOrRefused) {
  ChildEnd lost;
  lost.manifest = Manifest{};
  EXPECT_EQ(FailureOf(lost), ErrorCode::kWorkerLost);
  ChildEnd refused;
  refused.refusal = "fork: out of processes";
  EXPECT_EQ(FailureOf(refused), ErrorCode::kWorkerLost);
}

TEST(OutcomeTest, KnowsItsOwnKills) {
  ChildEnd end;
  end.wait_status = SIGKILL;
  end.cause = KillCause::kStalled;
  EXPECT_EQ(FailureOf(end), ErrorCode::kStalled);
  end.cause = KillCause::kDeadline;
  EXPECT_EQ(FailureOf(end), ErrorCode::kDeadlineExceeded);
  end.cause = KillCause::kOrdered;
  EXPECT_TRUE(std::holds_alternative<RunStopped>(Judge(end)));
}

TEST(OutcomeTest, KeepsAResultThatWasCompleteWhenTheWatchdogStruck) {
  ChildEnd end;
  end.wait_status = Exited(0);
  end.manifest = Manifest{};
  end.cause = KillCause::kStalled;
  EXPECT_TRUE(std::holds_alternative<RunFinished>(Judge(end)));
}

// --- Small readers -------------------------------------------------------------------------------

void Put(const fs::path& path, const std::string& text) {
  fs::create_directories(path.parent_path());
  std::ofstream(path) << text;
}

TEST(MemoryWatchTest, ReadsACgroupOfVersion1) {
  const TempDir root;
  Put(root.path() / "proc/meminfo", "MemTotal:    1000 kB\n");
  Put(root.path() / "proc/self/cgroup", "7:memory:/box\n0::/\n");
  const fs::path group = root.path() / "sys/fs/cgroup/memory/box";
  Put(group / "memory.limit_in_bytes", "4096\n");
  Put(group / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n");
  const MemoryWatch watch(root.path());
  EXPECT_EQ(watch.limit_bytes(), 4096);
  EXPECT_EQ(watch.OomKills(), 3);
  Put(group / "memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 4\n");
  EXPECT_EQ(watch.OomKills(), 4);
}

TEST(MemoryWatchTest, ReadsACgroupOfVersion2AndTakesMaxForNoLimit) {
  const TempDir root;
  Put(root.path() / "proc/meminfo", "MemTotal:    1000 kB\n");
  Put(root.path() / "proc/self/cgroup", "0::/box\n");
  Put(root.path() / "sys/fs/cgroup/box/memory.max", "max\n");
  Put(root.path() / "sys/fs/cgroup/box/memory.events", "low 0\noom 9\noom_kill 2\n");
  const MemoryWatch watch(root.path());
  EXPECT_EQ(watch.limit_bytes(), 1000 * 1024);
  EXPECT_EQ(watch.OomKills(), 2);
}

TEST(MemoryWatchTest, FallsBackOnTheMachine) {
  const TempDir root;
  Put(root.path() / "proc/meminfo", "MemTotal:    1000 kB\n");
  Put(root.path() / "proc/vmstat", "nr_free_pages 7\noom_kill 5\n");
  const MemoryWatch watch(root.path());
  EXPECT_EQ(watch.limit_bytes(), 1000 * 1024);
  EXPECT_EQ(watch.OomKills(), 5);
}

TEST(LogTailTest, KeepsTheLastLinesAndCutsLongOnes) {
  const TempDir folder;
  const fs::path log = folder.path() / "log.txt";
  {
    std::ofstream file(log);
    for (int i = 0; i < 1000; ++i) file << "line " << i << "\n";
    file << std::string(2000, 'y') << "\n"
         << "the end";
  }
  const std::vector<std::string> tail = ReadLogTail(log, 3);
  EXPECT_THAT(tail, ElementsAre("line 999", std::string(kMaxTailLineBytes, 'y'), "the end"));
  EXPECT_THAT(ReadLogTail(folder.path() / "none", 3), ElementsAre());
}

TEST(LeaseTest, RefusesATaskThatCouldNotNameAFolder) {
  for (const char* name : {"", "..", "../x", "a/b", ".hidden", "a b"}) {
    EXPECT_THROW(LeaseFromJson({{"task", name}, {"fence", 1}}), Error) << name;
  }
  EXPECT_EQ(LeaseFromJson({{"task", "tsk_1"}, {"fence", 7}}), (Lease{"tsk_1", 7}));
}

TEST(CapabilitiesTest, AsksTheEncoderProgram) {
  const Capabilities told = AskCapabilities(MILLRACE_FAKE_ENCODER, std::chrono::seconds(30));
  EXPECT_THAT(told.encoders, ElementsAre("h264", "aac"));
  EXPECT_EQ(told.versions.at("fake"), "1.0");
}

TEST(CapabilitiesTest, SaysWhyAProgramIsNoEncoder) {
  for (const char* program : {"/nonexistent/encoder", "/bin/false", "/bin/true"}) {
    try {
      AskCapabilities(program, std::chrono::seconds(30));
      FAIL() << program;
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kEncoderUnavailable);
      EXPECT_THAT(error.what(), HasSubstr(program));
    }
  }
}

TEST(CapabilitiesTest, GivesUpOnAProgramThatDoesNotAnswer) {
  const TempDir folder;
  const fs::path script = folder.path() / "mute";
  Put(script, "#!/bin/sh\nexec sleep 1000\n");
  fs::permissions(script, fs::perms::owner_all);
  EXPECT_THROW(AskCapabilities(script, std::chrono::milliseconds(50)), Error);
}

TEST(WorkerSettingsTest, ReadsLabelsAndRefusesOnesWithoutAKey) {
  EXPECT_EQ(ParseLabels({"zone=a", "gpu=", "x=y=z"}),
            (std::map<std::string, std::string>{{"zone", "a"}, {"gpu", ""}, {"x", "y=z"}}));
  EXPECT_THROW(ParseLabels({"zone"}), Error);
  EXPECT_THROW(ParseLabels({"=a"}), Error);
}

}  // namespace
}  // namespace millrace::worker
