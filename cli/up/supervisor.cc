#include "cli/up/supervisor.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <fstream>
#include <system_error>
#include <utility>

#include "cli/up/child_process.h"
#include "core/base/error.h"
#include "core/base/files.h"

namespace millrace::cli {
namespace {

using std::chrono::milliseconds;

constexpr milliseconds kReadyInterval{50};
constexpr milliseconds kLogInterval{100};
constexpr milliseconds kLongestWait{1'000};
constexpr milliseconds kStrayTimeout{2'000};
constexpr int64_t kLogBytesKept = 16 * 1024 * 1024;
constexpr size_t kTailBytes = 2'000;

sigset_t SupervisedSignals() {
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, SIGINT);
  sigaddset(&set, SIGTERM);
  sigaddset(&set, SIGCHLD);
  return set;
}

UniqueFd OpenLog(const std::filesystem::path& path) {
  std::error_code absent;
  const uintmax_t bytes = std::filesystem::file_size(path, absent);
  if (!absent && bytes > kLogBytesKept) Rename(path, path.string() + ".1");
  UniqueFd log(open(path.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0644));
  if (!log) ThrowStorageError(errno, "open", path);
  return log;
}

std::string Seconds(milliseconds time) {
  std::array<char, 32> text{};
  std::snprintf(text.data(), text.size(), "%.1f s", static_cast<double>(time.count()) / 1000);
  return text.data();
}

}  // namespace

Supervisor::Supervisor(SupervisorOptions options) : options_(std::move(options)) {
  for (const SupervisedProgram& program : options_.programs) {
    Child child;
    child.spec = program;
    child.log_path = options_.log_dir / (program.name + ".log");
    children_.push_back(std::move(child));
  }
  const sigset_t set = SupervisedSignals();
  if (sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
    throw std::system_error(errno, std::generic_category(), "sigprocmask");
  }
  signals_.Reset(signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals_) throw std::system_error(errno, std::generic_category(), "signalfd");
  // Adopt the processes that a killed child leaves behind.
  prctl(PR_SET_CHILD_SUBREAPER, 1);
}

Supervisor::~Supervisor() { KillAll(); }

bool Supervisor::Run() {
  ready_by_ = clock_.Now() + options_.ready_timeout;
  for (Child& child : children_) Start(child);
  while (!stopping_ || AnyRunning()) {
    WaitForEvent();
    TakeSignals();
    Reap();
    if (stopping_) {
      ContinueStop();
    } else {
      StartDue();
      CheckReady();
    }
    ShowLogs();
  }
  EndStrays();
  ShowLogs();
  return !failed_;
}

void Supervisor::Start(Child& child) {
  const UniqueFd log = OpenLog(child.log_path);
  // Skip the lines of earlier runs; a rotated log begins at 0 again.
  const int64_t log_bytes = lseek(log.get(), 0, SEEK_END);
  child.log_shown_bytes = std::min(child.log_shown_bytes.value_or(log_bytes), log_bytes);
  child.start_at.reset();
  child.policy.Started(clock_.Now());
  child.pid = StartChild({.program = child.spec.program,
                          .arguments = child.spec.arguments,
                          .output_fd = log.get(),
                          .death_signal = SIGKILL});
  if (options_.verbose)
    Say(child.spec.name + " started (process " + std::to_string(child.pid) + ")");
}

void Supervisor::StartDue() {
  for (Child& child : children_) {
    if (child.pid != 0 || !child.start_at || *child.start_at > clock_.Now()) continue;
    try {
      Start(child);
    } catch (const Error& error) {
      // Keep the others running: the program's file may be being replaced, or the disk be full.
      Say(error.what());
      child.start_at = clock_.Now() + child.policy.Ended(clock_.Now());
    }
  }
}

void Supervisor::TakeSignals() {
  signalfd_siginfo signal{};
  while (read(signals_.get(), &signal, sizeof(signal)) == sizeof(signal)) {
    if (signal.ssi_signo == SIGCHLD) continue;
    if (stopping_) {
      Say("killing all programs");
      KillAll();
    } else {
      Say("stopping (signal again to stop at once)");
      BeginStop();
    }
  }
}

void Supervisor::Reap() {
  int wait_status = 0;
  pid_t pid = 0;
  while ((pid = waitpid(-1, &wait_status, WNOHANG)) > 0) {
    const auto child = std::ranges::find(children_, pid, &Child::pid);
    if (child != children_.end()) OnEnd(*child, wait_status);
  }
}

void Supervisor::OnEnd(Child& child, int wait_status) {
  // Kill its process group: nothing that it started may outlive it.
  kill(-child.pid, SIGKILL);
  child.pid = 0;
  if (stopping_) return;
  const std::string what = child.spec.name + " " + DescribeWaitStatus(wait_status);
  const milliseconds delay = child.policy.Ended(clock_.Now());
  if (!ready_ && child.policy.ends_in_a_row() >= options_.start_attempts) {
    Say(what + " again and again; giving up. The end of " + child.log_path.string() + ":\n" +
        LogTail(child));
    failed_ = true;
    BeginStop();
    return;
  }
  Say(what + "; restarting it in " + Seconds(delay));
  child.start_at = clock_.Now() + delay;
}

void Supervisor::CheckReady() {
  if (ready_) return;
  if (options_.is_ready()) {
    ready_ = true;
    options_.on_ready();
  } else if (clock_.Now() >= ready_by_) {
    Say("the service is not ready after " + Seconds(options_.ready_timeout) + "; the logs are in " +
        options_.log_dir.string());
    failed_ = true;
    BeginStop();
  }
}

void Supervisor::BeginStop() {
  stopping_ = true;
  for (Child& child : children_) child.start_at.reset();
  ContinueStop();
}

void Supervisor::ContinueStop() {
  int stage = -1;  // the first stage that still runs
  for (const Child& child : children_) {
    if (child.pid != 0 && (stage < 0 || child.spec.stop_stage < stage)) {
      stage = child.spec.stop_stage;
    }
  }
  for (Child& child : children_) {
    if (child.pid == 0 || child.spec.stop_stage != stage) continue;
    if (!child.kill_at) {
      child.kill_at = clock_.Now() + child.spec.stop_timeout;
      kill(child.pid, SIGTERM);
    } else if (clock_.Now() >= *child.kill_at) {
      Say(child.spec.name + " did not stop within " + Seconds(child.spec.stop_timeout) +
          "; killing it");
      kill(-child.pid, SIGKILL);
      child.kill_at = MonotonicTime::max();
    }
  }
}

void Supervisor::KillAll() {
  for (const Child& child : children_) {
    if (child.pid != 0) kill(-child.pid, SIGKILL);
  }
}

void Supervisor::EndStrays() {
  const auto deadline = clock_.Now() + kStrayTimeout;
  while (waitpid(-1, nullptr, WNOHANG) >= 0 && clock_.Now() < deadline) {
    std::ifstream strays("/proc/thread-self/children");
    for (pid_t pid = 0; strays >> pid;) kill(pid, SIGKILL);
    poll(nullptr, 0, 10);
  }
}

bool Supervisor::AnyRunning() const {
  return std::ranges::any_of(children_, [](const Child& child) { return child.pid != 0; });
}

void Supervisor::ShowLogs() {
  if (!options_.verbose) return;
  for (Child& child : children_) {
    const UniqueFd log(open(child.log_path.c_str(), O_RDONLY | O_CLOEXEC));
    if (!log || !child.log_shown_bytes) continue;
    std::array<char, 16 * 1024> block;
    ssize_t got = 0;
    while ((got = pread(log.get(), block.data(), block.size(), *child.log_shown_bytes)) > 0) {
      std::fwrite(block.data(), 1, static_cast<size_t>(got), options_.messages);
      *child.log_shown_bytes += got;
    }
  }
  std::fflush(options_.messages);
}

std::string Supervisor::LogTail(const Child& child) const {
  const std::string log = ReadWholeFile(child.log_path);
  return log.size() <= kTailBytes ? log : log.substr(log.size() - kTailBytes);
}

void Supervisor::WaitForEvent() {
  milliseconds wait = kLongestWait;
  if (!ready_ && !stopping_) wait = kReadyInterval;
  if (options_.verbose) wait = std::min(wait, kLogInterval);
  const MonotonicTime now = clock_.Now();
  for (const Child& child : children_) {
    for (const auto& at : {child.start_at, child.kill_at}) {
      if (!at || *at == MonotonicTime::max()) continue;
      wait = std::min(wait, std::chrono::ceil<milliseconds>(std::max(*at - now, {})));
    }
  }
  pollfd event = {.fd = signals_.get(), .events = POLLIN, .revents = 0};
  poll(&event, 1, static_cast<int>(wait.count()));
}

void Supervisor::Say(const std::string& text) const {
  std::fprintf(options_.messages, "millrace: %s\n", text.c_str());
  std::fflush(options_.messages);
}

}  // namespace millrace::cli
