// millrace-encode as a program: its sandbox, its zygote, its exit status.
#include "media-fixtures/process.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <array>
#include <cerrno>
#include <fstream>
#include <sstream>

#include "tests/transcoder/encode/encode_task.h"
#include "transcoder/encode/base/ffmpeg_log.h"
#include "transcoder/encode/process/sandbox.h"
#include "transcoder/ffmpeg.h"
#include "transcoder/zygote_protocol.h"

extern char** environ;

namespace millrace::encode {
namespace {

using fixtures::FixturePath;
using fixtures::RunProcess;

constexpr int kDeadlineMs = 60'000;

std::filesystem::path Write(const TaskDocument& task) {
  const std::filesystem::path path =
      std::filesystem::path(task.output_dir).parent_path() / "task.json";
  std::ofstream(path) << ToJson(task);
  return path;
}

TEST(Program, RunsATaskInItsSandboxWithTheSameBytesAsWithout) {
  TaskRunner runner;
  const auto path = Write(runner.Document(FixturePath("mkv-h264-aac.mkv"), {Mp4(), Poster()}));
  const auto fenced = RunProcess({MILLRACE_ENCODE, path});
  EXPECT_EQ(fenced.exit_code, 0);
  const auto free = RunProcess({MILLRACE_ENCODE, "--no-sandbox", path});
  EXPECT_EQ(free.exit_code, 0);
  const Ended one = ParseReport(fenced.out);
  const Ended other = ParseReport(free.out);
  ASSERT_TRUE(one.succeeded && other.succeeded);
  EXPECT_EQ(one.manifest.files, other.manifest.files);
}

TEST(Program, RunsEveryEncoderInItsSandbox) {
  TaskRunner runner;
  std::vector<OutputSpec> outputs;
  for (const VideoCodec codec : {VideoCodec::kHevc, VideoCodec::kVp9, VideoCodec::kAv1}) {
    outputs.push_back(
        MediaOutput(Container::kMkv, FastVideo(codec), AudioSpec{.codec = AudioCodec::kOpus}));
    outputs.back().name = std::string(NameOf(codec));
  }
  const auto ran = RunProcess(
      {MILLRACE_ENCODE, Write(runner.Document(FixturePath("mkv-h264-aac.mkv"), outputs))});
  EXPECT_EQ(ran.exit_code, 0) << ran.out;
  EXPECT_EQ(ParseReport(ran.out).manifest.files.size(), 3U);
}

TEST(Program, ExitsWith1OnAReportedFailureAnd2OnBadUsage) {
  TaskRunner runner;
  const auto failed =
      RunProcess({MILLRACE_ENCODE, Write(runner.Document(FixturePath("garbage.mp4"), {Mp4()}))});
  EXPECT_EQ(failed.exit_code, 1);
  EXPECT_EQ(ParseReport(failed.out).error["code"], "not_media");
  EXPECT_EQ(RunProcess({MILLRACE_ENCODE, "--nonsense"}).exit_code, 2);
  EXPECT_EQ(RunProcess({MILLRACE_ENCODE}).exit_code, 2);
}

TEST(Program, ReportsAFileThatMayNotGrowAsAFailureOfWriting) {
  TaskRunner runner;
  const auto ran = RunProcess({MILLRACE_ENCODE, "--max-file-bytes", "1000",
                               Write(runner.Document(FixturePath("sdr-720p-aac.mp4"), {Mp4()}))});
  EXPECT_EQ(ran.exit_code, 1);
  EXPECT_EQ(ParseReport(ran.out).error["code"], "storage_error") << ran.out;
  EXPECT_EQ(ParseReport(ran.out).error["context"]["stage"], "mux");
}

// A file system of 64 KiB, in a namespace of the task's own.
TEST(Program, BlamesTheWorkerAndNotTheMediaForAFullDisk) {
  const std::string mount = "mount -t tmpfs -o size=64k none \"$0\" 2>/dev/null";
  TaskRunner runner;
  const auto path = Write(runner.Document(FixturePath("sdr-720p-aac.mp4"), {Mp4()}));
  const std::string output_dir = runner.output_dir();
  if (RunProcess({"unshare", "-Urm", "sh", "-c", mount, output_dir}).exit_code != 0) {
    GTEST_SKIP() << "no file system can be mounted here";
  }
  const auto ran = RunProcess({"unshare", "-Urm", "sh", "-c", mount + " && exec \"$1\" \"$2\"",
                               output_dir, MILLRACE_ENCODE, path});
  EXPECT_EQ(ran.exit_code, 1);
  const Ended ended = ParseReport(ran.out);
  EXPECT_EQ(ended.error["code"], "worker_disk_full") << ran.out;
  EXPECT_EQ(ended.error["context"]["stage"], "mux");
  EXPECT_EQ(TraitsOf(ErrorCode::kWorkerDiskFull).retry, RetryClass::kInfrastructure);
}

TEST(Program, PrintsTheFactsOfAFile) {
  const auto ran = RunProcess({MILLRACE_ENCODE, "--probe", FixturePath("rotated-90.mp4")});
  ASSERT_EQ(ran.exit_code, 0);
  const auto media = nlohmann::json::parse(ran.out);
  EXPECT_EQ(media["streams"][0]["codec"], "h264");
  EXPECT_EQ(media["streams"][0]["rotation_degrees"], 90);
  EXPECT_EQ(media["streams"][0]["display_width"], 180);
  EXPECT_NEAR(media["duration_seconds"].get<double>(), 2, 0.05);
}

TEST(Program, NamesTheEncodersThatReallyWork) {
  const auto ran = RunProcess({MILLRACE_ENCODE, "--capabilities"});
  ASSERT_EQ(ran.exit_code, 0);
  const auto found = nlohmann::json::parse(ran.out);
  EXPECT_EQ(found["encoders"],
            nlohmann::json({"h264", "hevc", "vp9", "av1", "aac", "opus", "mp3"}));
}

// Standard error becomes the worker's log, which has one JSON object a line.
TEST(Program, LetsNoEncoderIntroduceItselfOnStandardError) {
  const auto ran =
      RunProcess({"sh", "-c", "\"$0\" --capabilities 2>&1 >/dev/null", MILLRACE_ENCODE});
  ASSERT_EQ(ran.exit_code, 0);
  EXPECT_EQ(ran.out, "");
}

// Tries what a hijacked decoder would; returns the number of the first thing that was not refused.
int TryToBreakOut(const std::string& input, const std::string& output) {
  EnterSandbox({.input_path = input, .output_dir = output});
  if (open("/etc/passwd", O_RDONLY) >= 0) return 1;
  if (open(input.c_str(), O_RDWR) >= 0) return 2;
  if (open((output + "/../elsewhere").c_str(), O_WRONLY | O_CREAT, 0600) >= 0) return 3;
  if (open(input.c_str(), O_RDONLY) < 0) return 4;
  if (open((output + "/made").c_str(), O_RDWR | O_CREAT, 0600) < 0) return 5;
#if !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  if (socket(AF_INET, SOCK_STREAM, 0) >= 0 || errno != EPERM) return 6;
  if (fork() >= 0) return 7;
  if (kill(getppid(), 0) == 0) return 8;
  if (truncate((output + "/../victim").c_str(), 0) == 0) return 9;
  if (fcntl(STDERR_FILENO, F_SETOWN, getppid()) == 0) return 10;
  if (fcntl(STDERR_FILENO, F_SETSIG, SIGKILL) == 0) return 11;
  if (fcntl(STDERR_FILENO, F_GETFD) < 0) return 12;
#endif
  char* const arguments[] = {const_cast<char*>("/bin/true"), nullptr};
  execve("/bin/true", arguments, environ);
  return 0;  // still here: refused
}

TEST(Sandbox, RefusesWhatATaskDoesNotNeed) {
  const TempDir folder;
  const std::string output = folder.path() / "out";
  std::filesystem::create_directory(output);
  std::ofstream(folder.path() / "victim") << "intact";
  const std::string input = FixturePath("single-frame.mp4");
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) _exit(100 + TryToBreakOut(input, output));
  int status = 0;
  ASSERT_EQ(waitpid(child, &status, 0), child);
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 100);
  EXPECT_EQ(std::filesystem::file_size(folder.path() / "victim"), 6U);
}

// Complains as a damaged input does.
[[noreturn]] void ComplainALot(const std::string& log) {
  dup2(open(log.c_str(), O_WRONLY | O_CREAT | O_APPEND, 0600), STDERR_FILENO);
  StartFfmpegLog();
  const std::string text(500, 'x');
  for (int i = 0; i < 40'000; ++i) {
    av_log(nullptr, AV_LOG_ERROR, "%d %s\n", i, text.c_str());
  }
  _exit(0);
}

TEST(FfmpegLog, EndsAtItsLimit) {
  const TempDir folder;
  const std::string log = folder.path() / "log";
  const pid_t child = fork();
  ASSERT_GE(child, 0);
  if (child == 0) ComplainALot(log);
  ASSERT_EQ(waitpid(child, nullptr, 0), child);
  EXPECT_GT(std::filesystem::file_size(log), 7U << 20);
  EXPECT_LT(std::filesystem::file_size(log), (8U << 20) + 1000);
  std::ostringstream text;
  text << std::ifstream(log).rdbuf();
  EXPECT_TRUE(text.str().ends_with("(the rest of FFmpeg's log is left out)\n"));
}

// A worker's side of a zygote.
class ZygoteTest : public testing::Test {
 protected:
  void SetUp() override {
    ZygoteChannel channel = MakeZygoteChannel();
    worker_ = std::move(channel.worker);
    posix_spawn_file_actions_t actions;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_adddup2(&actions, channel.zygote.get(), 3);
    std::string program = MILLRACE_ENCODE;
    std::string flag = "--zygote";
    std::string fd = "3";
    std::array<char*, 4> arguments{program.data(), flag.data(), fd.data(), nullptr};
    const int rc =
        posix_spawn(&zygote_, program.c_str(), &actions, nullptr, arguments.data(), environ);
    posix_spawn_file_actions_destroy(&actions);
    ASSERT_EQ(rc, 0);
  }
  void TearDown() override {
    worker_.Reset();
    if (zygote_ > 0) WaitForZygote();
  }
  int WaitForZygote() {
    int status = -1;
    waitpid(zygote_, &status, 0);
    zygote_ = -1;
    return status;
  }

  // Starts a task whose report goes to report_.
  void Start(const std::string& token, const std::filesystem::path& task) {
    std::array<int, 2> pipe_ends{};
    ASSERT_EQ(pipe2(pipe_ends.data(), O_CLOEXEC), 0);
    report_.Reset(pipe_ends[0]);
    ZygoteRun run{.task_path = task,
                  .token = token,
                  .report = UniqueFd(pipe_ends[1]),
                  .log = UniqueFd(open("/dev/null", O_WRONLY | O_CLOEXEC))};
    SendRequest(worker_.get(), run);
  }
  ZygoteReply Reply() {
    pollfd ready{.fd = worker_.get(), .events = POLLIN, .revents = 0};
    if (poll(&ready, 1, kDeadlineMs) != 1) throw std::runtime_error("the zygote does not answer");
    Received<ZygoteReply> reply = ReceiveReply(worker_.get());
    if (!reply.value) throw std::runtime_error("the zygote has gone");
    return *reply.value;
  }
  std::string ReadReport() {
    std::string text;
    std::array<char, 4096> buffer{};
    ssize_t got = 0;
    while ((got = read(report_.get(), buffer.data(), buffer.size())) > 0) {
      text.append(buffer.data(), static_cast<size_t>(got));
    }
    return text;
  }
  // Waits until the child has begun.
  void ReadALittle() {
    char first = 0;
    ASSERT_EQ(read(report_.get(), &first, 1), 1);
  }

  TaskRunner runner_;
  UniqueFd worker_;
  UniqueFd report_;
  pid_t zygote_ = -1;
};

TEST_F(ZygoteTest, RunsTasksAndTellsHowTheyEnded) {
  for (const auto& [token, name, status] :
       {std::tuple("good", "single-frame.mp4", 0), std::tuple("bad", "garbage.mp4", 1)}) {
    Start(token, Write(runner_.Document(FixturePath(name), {Mp4()})));
    const auto started = std::get<ZygoteStarted>(Reply());
    EXPECT_EQ(started.token, token);
    EXPECT_EQ(ParseReport(ReadReport()).succeeded, status == 0);
    const auto exited = std::get<ZygoteExited>(Reply());
    EXPECT_EQ(exited.token, token);
    EXPECT_EQ(exited.pid, started.pid);
    ASSERT_TRUE(WIFEXITED(exited.wait_status));
    EXPECT_EQ(WEXITSTATUS(exited.wait_status), status);
    EXPECT_GT(exited.peak_rss_bytes, 1 << 20);
    EXPECT_GT(exited.cpu_seconds, 0);
  }
}

TEST_F(ZygoteTest, KillsAChildWhenToldTo) {
  Start("long", Write(runner_.Document(FixturePath("black-24h.mp4"), {Mp4()})));
  std::get<ZygoteStarted>(Reply());
  ReadALittle();
  SendRequest(worker_.get(), ZygoteKill{.token = "unknown", .signal = SIGKILL});
  SendRequest(worker_.get(), ZygoteKill{.token = "long", .signal = SIGKILL});
  const auto exited = std::get<ZygoteExited>(Reply());
  EXPECT_EQ(exited.token, "long");
  ASSERT_TRUE(WIFSIGNALED(exited.wait_status));
  EXPECT_EQ(WTERMSIG(exited.wait_status), SIGKILL);
}

TEST_F(ZygoteTest, OffersItsChildrenToTheOomKillerAndNotItself) {
  const auto score = [](pid_t pid) {
    int value = -1;
    std::ifstream("/proc/" + std::to_string(pid) + "/oom_score_adj") >> value;
    return value;
  };
  const int own = score(getpid());
  Start("first", Write(runner_.Document(FixturePath("black-24h.mp4"), {Mp4()})));
  const auto started = std::get<ZygoteStarted>(Reply());
  ReadALittle();
  EXPECT_EQ(score(started.pid), 1000);
  EXPECT_EQ(score(zygote_), own);
}

TEST_F(ZygoteTest, RefusesATokenThatIsInUse) {
  const auto task = Write(runner_.Document(FixturePath("black-24h.mp4"), {Mp4()}));
  Start("twice", task);
  std::get<ZygoteStarted>(Reply());
  Start("twice", task);
  EXPECT_EQ(std::get<ZygoteRefused>(Reply()).token, "twice");
}

TEST_F(ZygoteTest, EndsWithAllItsChildrenWhenTheWorkerIsGone) {
  Start("orphan", Write(runner_.Document(FixturePath("black-24h.mp4"), {Mp4()})));
  std::get<ZygoteStarted>(Reply());
  ReadALittle();
  worker_.Reset();
  const int status = WaitForZygote();
  ASSERT_TRUE(WIFEXITED(status));
  EXPECT_EQ(WEXITSTATUS(status), 0);
  // The child was the only one to hold the report's other end.
  ReadReport();
}

TEST_F(ZygoteTest, SurvivesAMalformedRequest) {
  SendMessage(worker_.get(), {{"dance", "tango"}});
  Start("after", Write(runner_.Document(FixturePath("single-frame.mp4"), {Mp4()})));
  EXPECT_EQ(std::get<ZygoteStarted>(Reply()).token, "after");
  EXPECT_EQ(std::get<ZygoteExited>(Reply()).token, "after");
}

}  // namespace
}  // namespace millrace::encode
