// Replaces millrace-encode in the tests of the worker: has the same command line and protocol, but
// touches no media. The input_name of a task tells the run what to do, as a verb and an argument:
//
//   succeed           writes out/movie.mp4 and reports it
//   fail:<code>       reports an error of that code and exits with status 1
//   crash:<signal>    raises the signal
//   late-crash        reports a result and then raises SIGSEGV
//   exit:<status>     exits without a result
//   hang              reports nothing more and never ends
//   loop              reports ever more frames of the same instant, for ever
//   jitter            goes back and forth between two instants, for ever
//   break:<excerpt>   crashes at 12.5 s; the excerpt for it is cut as the argument says: "succeed",
//                     "crash", "hang", or "huge" (larger than an excerpt may be)
//   gate:<fifo>       waits until the FIFO has been written to and closed, then succeeds
//   noise             succeeds between malformed, unknown and far too long lines
//   flood             reports progress as fast as it can, for ever
//   kill-zygote       kills its zygote

#include <poll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <map>
#include <string>

#include "core/base/files.h"
#include "core/base/unique_fd.h"
#include "core/model/task.h"
#include "transcoder/zygote_protocol.h"

namespace millrace {
namespace {

class FakeRun {
 public:
  FakeRun(TaskDocument task, int report) : task_(std::move(task)), report_(report) {}

  [[noreturn]] void Perform() {
    Say({{"type", "started"}});
    // Tests learn from here whom to watch.
    WriteFile("pids.json", nlohmann::json{{"child", getpid()}, {"zygote", getppid()}}.dump());
    std::cerr << "log line of " << task_.input_name << std::endl;
    const size_t colon = task_.input_name.find(':');
    const std::string verb = task_.input_name.substr(0, colon);
    const std::string argument =
        colon == std::string::npos ? "" : task_.input_name.substr(colon + 1);
    if (task_.kind == TaskKind::kExcerpt) {
      CutExcerpt(argument);
    } else {
      Obey(verb, argument);
    }
    _exit(0);
  }

 private:
  void Obey(const std::string& verb, const std::string& argument) {
    if (verb == "succeed") Succeed();
    if (verb == "fail") Fail(argument);
    if (verb == "crash") Crash(std::stoi(argument));
    if (verb == "late-crash") {
      Succeed();
      Crash(SIGSEGV);
    }
    if (verb == "exit") _exit(std::stoi(argument));
    if (verb == "hang") Hang();
    if (verb == "loop") Loop();
    if (verb == "jitter") Jitter();
    if (verb == "break") {
      SayProgress(40, 12.5, 300);
      Crash(SIGSEGV);
    }
    if (verb == "gate") {
      ReadWholeFile(argument);
      Succeed();
    }
    if (verb == "noise") {
      SayLine("this is not JSON");
      SayLine(R"({"type":"surprise"})");
      SayLine(R"({"type":"progress","progress":{"percent":"many"}})");
      SayLine(std::string(size_t{3} << 20, 'x'));
      Succeed();
    }
    if (verb == "flood") {
      for (int64_t frames = 0;; ++frames) SayProgress(1, static_cast<double>(frames), frames);
    }
    if (verb == "kill-zygote") {
      kill(getppid(), SIGKILL);
      Hang();
    }
  }

  void Succeed() {
    if (task_.kind == TaskKind::kTranscode) WriteFile("movie.mp4", "film");
    const nlohmann::json media = {{"format", "fake"}, {"duration_seconds", 2.5}};
    Say({{"type", "media"}, {"media", media}});
    SayProgress(50, 1.25, 30);
    // Passed over: an input stays what it is.
    Say({{"type", "media"}, {"media", {{"format", "another"}}}});
    Manifest manifest;
    manifest.media = media;
    if (task_.kind == TaskKind::kTranscode) {
      manifest.files.push_back({.output = "movie",
                                .path = "movie.mp4",
                                .bytes = 4,
                                .sha256 = std::string(64, '0'),
                                .media_type = "video/mp4",
                                .duration_seconds = 2.5,
                                .video = {},
                                .audio = {}});
    }
    Say({{"type", "result"}, {"manifest", ToJson(manifest)}});
  }

  // Writes an excerpt that holds its own ExcerptSpec, or ends as `how` says.
  void CutExcerpt(const std::string& how) {
    if (how == "crash") Crash(SIGSEGV);
    if (how == "hang") Hang();
    WriteFile("excerpt.mkv", ToJson(task_).at("excerpt").dump());
    if (how == "huge") {
      std::filesystem::resize_file(std::filesystem::path(task_.output_dir) / "excerpt.mkv",
                                   (uintmax_t{32} << 20) + 1);
    }
    Say({{"type", "result"}, {"manifest", ToJson(Manifest{})}});
  }

  void Fail(const std::string& code) {
    Say({{"type", "error"}, {"error", {{"code", code}, {"detail", "as told"}}}});
    _exit(1);
  }

  // Restore the default action: a sanitizer would catch the signal and exit.
  static void Crash(int signal_number) {
    signal(signal_number, SIG_DFL);
    raise(signal_number);
  }

  [[noreturn]] static void Hang() {
    for (;;) pause();
  }

  [[noreturn]] void Loop() {
    for (int64_t frames = 1;; ++frames) {
      SayProgress(10, 0.5, frames);
      poll(nullptr, 0, 5);
    }
  }

  [[noreturn]] void Jitter() {
    for (int64_t frames = 1;; ++frames) {
      SayProgress(10, frames % 2 == 0 ? 0.5 : 0.4, frames);
      poll(nullptr, 0, 5);
    }
  }

  void SayProgress(int percent, double media_seconds, int64_t frames) {
    Progress progress;
    progress.percent = percent;
    progress.phase = "transcoding";
    progress.media_seconds = media_seconds;
    progress.frames = frames;
    Say({{"type", "progress"}, {"progress", ToJson(progress)}});
  }

  void Say(const nlohmann::json& report) { SayLine(report.dump()); }
  void SayLine(const std::string& line) { WriteAll(report_, line + "\n", "report pipe"); }
  void WriteFile(const char* name, const std::string& text) {
    std::ofstream(std::filesystem::path(task_.output_dir) / name) << text;
  }

  const TaskDocument task_;
  const int report_;
};

class FakeZygote {
 public:
  explicit FakeZygote(int socket) : socket_(socket) {
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGCHLD);
    sigprocmask(SIG_BLOCK, &signals, nullptr);
    ended_ = UniqueFd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  }

  void Serve() {
    for (;;) {
      std::array<pollfd, 2> polled = {{{socket_, POLLIN, 0}, {ended_.get(), POLLIN, 0}}};
      poll(polled.data(), polled.size(), -1);
      ReapChildren();
      if (polled[0].revents == 0) continue;
      Received<ZygoteRequest> received = ReceiveRequest(socket_);
      if (received.status == ReceiveStatus::kClosed) break;
      if (auto* run = std::get_if<ZygoteRun>(&*received.value)) Start(std::move(*run));
      if (auto* order = std::get_if<ZygoteKill>(&*received.value)) Kill(*order);
    }
    for (const auto& [pid, token] : children_) kill(pid, SIGKILL);
  }

 private:
  void Start(ZygoteRun run) {
    const pid_t pid = fork();
    if (pid == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      close(socket_);
      dup2(run.log.get(), STDERR_FILENO);
      FakeRun(TaskFromJson(nlohmann::json::parse(ReadWholeFile(run.task_path))), run.report.get())
          .Perform();
    }
    children_[pid] = run.token;
    SendReply(socket_, ZygoteStarted{.token = run.token, .pid = pid});
  }

  void Kill(const ZygoteKill& order) {
    for (const auto& [pid, token] : children_) {
      if (token == order.token) kill(pid, order.signal);
    }
  }

  void ReapChildren() {
    signalfd_siginfo ignored{};
    while (read(ended_.get(), &ignored, sizeof ignored) > 0) {
    }
    int status = 0;
    rusage usage{};
    for (pid_t pid = 0; (pid = wait4(-1, &status, WNOHANG, &usage)) > 0;) {
      SendReply(socket_, ZygoteExited{.token = children_[pid],
                                      .pid = pid,
                                      .wait_status = status,
                                      .peak_rss_bytes = usage.ru_maxrss * 1024,
                                      .cpu_seconds = 0.25});
      children_.erase(pid);
    }
  }

  const int socket_;
  UniqueFd ended_;
  std::map<pid_t, std::string> children_;
};

}  // namespace
}  // namespace millrace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  if (mode == "--capabilities") {
    std::cout << R"({"encoders":["h264","aac"],"versions":{"fake":"1.0"}})" << std::endl;
    return 0;
  }
  if (mode != "--zygote" || argc < 3) return 2;
  millrace::FakeZygote(std::stoi(argv[2])).Serve();
  return 0;
}
