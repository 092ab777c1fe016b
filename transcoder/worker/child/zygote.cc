#include "transcoder/worker/child/zygote.h"

#include <poll.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <utility>

#include "core/base/error.h"
#include "core/base/log.h"
#include "transcoder/worker/child/spawn.h"

namespace millrace::worker {
namespace {

using namespace std::chrono_literals;

// A zygote that dies before this age was of no use.
constexpr auto kUsefulAge = 5s;
constexpr MonotonicTime::duration kFirstPause = 100ms;
constexpr MonotonicTime::duration kLongestPause = 5s;

// How long a zygote may take to end its children and itself.
constexpr int kEndPatience_ms = 1000;

// The descriptor's number in the zygote.
constexpr int kChannelNumber = 3;

// Becomes readable when the process has ended. (glibc 2.36 declares pidfd_open() for C only.)
int OpenProcess(pid_t pid) { return static_cast<int>(syscall(SYS_pidfd_open, pid, 0)); }

}  // namespace

Zygote::Zygote(std::filesystem::path encoder, const Clock& clock)
    : encoder_(std::move(encoder)), clock_(clock) {
  Start();
}

Zygote::~Zygote() {
  channel_.Reset();
  if (pid_ != 0) Reap();
}

void Zygote::Run(ZygoteRun run) {
  if (!channel_) {
    waiting_.push_back(std::move(run));
    return;
  }
  Send(std::move(run));
}

void Zygote::Kill(const std::string& token) {
  const auto waiting = std::ranges::find(waiting_, token, &ZygoteRun::token);
  if (waiting != waiting_.end()) {
    waiting_.erase(waiting);
    events_.emplace_back(ZygoteLost{token});
    return;
  }
  if (!running_.contains(token)) return;
  try {
    SendRequest(channel_.get(), ZygoteKill{.token = token, .signal = SIGKILL});
  } catch (const Error& error) {
    // It has died; Poll() is about to find that out.
    LogWarning("the zygote took no order", {{"detail", error.what()}});
  }
}

void Zygote::Abandon() {
  if (pid_ == 0) return;
  LogError("the zygote does not react and is killed", {{"pid", pid_}});
  kill(pid_, SIGKILL);
}

std::vector<ZygoteEvent> Zygote::Poll() {
  if (!channel_ && clock_.Now() >= restart_at_) Start();
  std::vector<ZygoteEvent> events = std::exchange(events_, {});
  while (channel_) {
    try {
      Received<ZygoteReply> received = ReceiveReply(channel_.get(), {.dont_wait = true});
      if (received.status == ReceiveStatus::kWouldBlock) break;
      if (received.status == ReceiveStatus::kClosed) {
        OnDeath(events);
        break;
      }
      std::visit([&](auto& reply) { events.emplace_back(std::move(reply)); }, *received.value);
      if (const auto* exited = std::get_if<ZygoteExited>(&events.back())) {
        running_.erase(exited->token);
      } else if (const auto* refused = std::get_if<ZygoteRefused>(&events.back())) {
        running_.erase(refused->token);
      }
    } catch (const Error& error) {
      LogWarning("the zygote said something unintelligible", {{"detail", error.what()}});
      if (error.code() != ErrorCode::kProtocolError) OnDeath(events);
    }
  }
  return events;
}

MonotonicTime Zygote::NextDeadline() const {
  if (!events_.empty()) return MonotonicTime::min();
  return channel_ ? MonotonicTime::max() : restart_at_;
}

void Zygote::Start() {
  ZygoteChannel channel;
  started_at_ = clock_.Now();
  try {
    channel = MakeZygoteChannel();
    pid_ = Spawn({.program = encoder_,
                  .arguments = {"--zygote", std::to_string(kChannelNumber)},
                  .descriptors = {{channel.zygote.get(), kChannelNumber}}});
  } catch (const Error& error) {
    // A missing program is fatal at the worker's start only; later it may be about to be replaced.
    if (restart_at_ == MonotonicTime{}) throw;
    LogError("the zygote cannot be started", {{"detail", error.what()}});
    restart_at_ = started_at_ + kLongestPause;
    return;
  }
  channel_ = std::move(channel.worker);
  LogInfo("the zygote is started", {{"pid", pid_}});
  for (ZygoteRun& run : std::exchange(waiting_, {})) Send(std::move(run));
}

void Zygote::Send(ZygoteRun run) {
  running_.insert(run.token);
  try {
    SendRequest(channel_.get(), run);
  } catch (const Error& error) {
    LogWarning("the zygote took no order", {{"detail", error.what()}});
  }
}

void Zygote::OnDeath(std::vector<ZygoteEvent>& events) {
  const auto now = clock_.Now();
  const bool useful = now - started_at_ >= kUsefulAge;
  useless_starts_ = useful ? 0 : useless_starts_ + 1;
  // Restarts at once after the first early death, which may be chance, and ever more slowly after
  // more.
  const auto pause = kFirstPause * (1 << std::min(useless_starts_, 6));
  restart_at_ = useless_starts_ <= 1 ? now : now + std::min(pause, kLongestPause);
  LogError("the zygote died", {{"pid", pid_}, {"runs", running_.size()}});
  channel_.Reset();
  Reap();
  for (const std::string& token : std::exchange(running_, {}))
    events.emplace_back(ZygoteLost{token});
}

void Zygote::Reap() {
  // Waits for the zygote, which kills its children and exits once its channel is closed. It is our
  // child and not reaped yet, so its pid is still its own.
  const UniqueFd gone(OpenProcess(pid_));
  pollfd polled{.fd = gone.get(), .events = POLLIN, .revents = 0};
  if (!gone || poll(&polled, 1, kEndPatience_ms) <= 0) kill(pid_, SIGKILL);
  while (waitpid(pid_, nullptr, 0) < 0 && errno == EINTR) {
  }
  pid_ = 0;
}

}  // namespace millrace::worker
