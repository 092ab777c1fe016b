#include "transcoder/encode/process/zygote.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <string_view>

#include "core/base/error.h"
#include "core/base/log.h"
#include "core/base/scheduling.h"
#include "transcoder/encode/process/task_process.h"

namespace millrace::encode {
namespace {

sigset_t ChildSignal() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGCHLD);
  return set;
}

double Seconds(const timeval& time) {
  return static_cast<double>(time.tv_sec) + static_cast<double>(time.tv_usec) / 1e6;
}

void ResetSignals() {
  for (int number = 1; number < NSIG; ++number) {
    if (number != SIGKILL && number != SIGSTOP) signal(number, SIG_DFL);
  }
  signal(SIGXFSZ, SIG_IGN);
  signal(SIGPIPE, SIG_IGN);
  sigset_t none;
  sigemptyset(&none);
  sigprocmask(SIG_SETMASK, &none, nullptr);
}

// Asks the kernel to kill a task first when memory runs out: it can be tried again, unlike the
// other processes of the machine. Ignored where /proc is missing.
void OfferToOomKiller() {
  constexpr std::string_view kFirst = "1000";
  const UniqueFd fd(open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC));
  if (!fd || write(fd.get(), kFirst.data(), kFirst.size()) < 0) {
    LogWarning("the task's oom_score_adj cannot be raised", {{"errno", errno}});
  }
}

}  // namespace

Zygote::Zygote(UniqueFd socket) : socket_(std::move(socket)) {
  const sigset_t child = ChildSignal();
  sigprocmask(SIG_BLOCK, &child, nullptr);
  signals_.Reset(signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK));
  fcntl(socket_.get(), F_SETFD, FD_CLOEXEC);
  if (!signals_) {
    throw Error(ErrorCode::kInternal, std::string("signalfd: ") + std::strerror(errno));
  }
}

void Zygote::BecomeTask(const ZygoteRun& run, pid_t zygote) {
  // If the zygote died before the call, the signal would never come.
  prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0);
  if (getppid() != zygote) _exit(1);
  ResetSignals();
  const UniqueFd null(open("/dev/null", O_RDONLY | O_CLOEXEC));
  dup2(null.get(), STDIN_FILENO);
  dup2(run.log.get(), STDOUT_FILENO);
  dup2(run.log.get(), STDERR_FILENO);
  socket_.Reset();
  signals_.Reset();
  OfferToOomKiller();
  AskForUsualTurns();  // not the zygote's short ones: a task computes
  const int status = RunTaskProcess(run.task_path, {.report_fd = run.report.get()});
  std::fflush(nullptr);
  // Not exit(), which would run the zygote's exit handlers.
  _exit(status);
}

void Zygote::Handle(ZygoteRun run) {
  if (children_.contains(run.token)) {
    SendReply(socket_.get(), ZygoteRefused{.token = run.token, .detail = "the token is in use"});
    return;
  }
  const pid_t self = getpid();
  const pid_t child = fork();
  if (child < 0) {
    SendReply(socket_.get(), ZygoteRefused{.token = run.token,
                                           .detail = std::string("fork: ") + std::strerror(errno)});
    return;
  }
  if (child == 0) BecomeTask(run, self);
  children_.emplace(run.token, child);
  SendReply(socket_.get(), ZygoteStarted{.token = run.token, .pid = child});
}

void Zygote::Handle(const ZygoteKill& kill_request) {
  const auto found = children_.find(kill_request.token);
  if (found != children_.end()) kill(found->second, kill_request.signal);
}

bool Zygote::HandleRequest() {
  try {
    Received<ZygoteRequest> request = ReceiveRequest(socket_.get());
    if (request.status == ReceiveStatus::kClosed) return false;
    if (!request.value) return true;
    std::visit([this](auto& each) { Handle(std::move(each)); }, *request.value);
  } catch (const Error& error) {
    if (error.code() == ErrorCode::kWorkerLost) return false;
    LogError("a request to the zygote failed", ToJson(error));
  }
  return true;
}

void Zygote::Reap() {
  // One signal may stand for several children.
  std::array<char, 16 * sizeof(signalfd_siginfo)> drained{};
  while (read(signals_.get(), drained.data(), drained.size()) > 0) {
  }
  int status = 0;
  rusage usage{};
  pid_t pid = 0;
  while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
    const auto child =
        std::ranges::find_if(children_, [&](const auto& each) { return each.second == pid; });
    if (child == children_.end()) continue;
    const ZygoteExited exited{.token = child->first,
                              .pid = pid,
                              .wait_status = status,
                              .peak_rss_bytes = int64_t{usage.ru_maxrss} * 1024,
                              .cpu_seconds = Seconds(usage.ru_utime) + Seconds(usage.ru_stime)};
    children_.erase(child);
    SendReply(socket_.get(), exited);
  }
}

void Zygote::KillAll() {
  for (const auto& [token, pid] : children_) kill(pid, SIGKILL);
  for (const auto& [token, pid] : children_) {
    while (waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
    }
  }
  children_.clear();
}

void Zygote::Run() {
  std::array<pollfd, 2> ready{{{.fd = socket_.get(), .events = POLLIN, .revents = 0},
                               {.fd = signals_.get(), .events = POLLIN, .revents = 0}}};
  bool open = true;
  while (open) {
    if (poll(ready.data(), ready.size(), -1) < 0 && errno != EINTR) break;
    try {
      if (ready[1].revents != 0) Reap();
    } catch (const Error&) {
      break;  // nobody listens any more
    }
    if (ready[0].revents != 0) open = HandleRequest();
  }
  KillAll();
}

}  // namespace millrace::encode
