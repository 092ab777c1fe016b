#include "transcoder/worker/worker.h"

#include <fcntl.h>
#include <poll.h>
#include <sys/signalfd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <limits>

#include "core/base/error.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "core/model/message.h"

namespace millrace::worker {
namespace {

UniqueFd BlockAndWatchSignals() {
  sigset_t signals;
  sigemptyset(&signals);
  sigaddset(&signals, SIGTERM);
  sigaddset(&signals, SIGINT);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);
  UniqueFd fd(signalfd(-1, &signals, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!fd) {
    throw Error(ErrorCode::kInternal, std::string("watch for signals: ") + std::strerror(errno));
  }
  return fd;
}

WorkerFacts FactsOf(const WorkerSettings& settings, const Capabilities& capabilities,
                    int64_t memory_bytes) {
  return {.name = settings.name,
          .instance = NewId("wrk_"),
          .slots = settings.slots,
          .probe_slots = settings.probe_slots,
          .encoders = capabilities.encoders,
          .cores = CountCores(),
          .memory_bytes = memory_bytes,
          .labels = ParseLabels(settings.labels),
          .versions = capabilities.versions};
}

void Touch(const std::filesystem::path& file) {
  const UniqueFd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
  if (!fd || futimens(fd.get(), nullptr) != 0) {
    LogWarning("cannot touch the alive file",
               {{"file", file.string()}, {"error", std::strerror(errno)}});
  }
}

// Rounds up, so that the deadline has passed when poll() returns.
int PollTimeout(MonotonicTime now, MonotonicTime deadline) {
  if (deadline <= now) return 0;
  if (deadline == MonotonicTime::max()) return -1;
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - now).count();
  return static_cast<int>(std::min<int64_t>(left, std::numeric_limits<int>::max()));
}

}  // namespace

Worker::Worker(const WorkerSettings& settings, const Capabilities& capabilities, const Clock& clock)
    : clock_(clock),
      alive_file_(settings.alive_file),
      signals_(BlockAndWatchSignals()),
      store_(OpenFolderMediaStore({settings.common.data_dir, settings.library_dir})),
      host_({settings.encoder, settings.threads, settings.stall_timeout}, *store_, clock),
      link_(settings.common.worker_endpoint),
      session_(FactsOf(settings, capabilities, host_.memory_bytes()), settings.drain_timeout, clock,
               link_, host_) {}

void Worker::Run() {
  while (!session_.left()) {
    TakeSignals();
    while (const std::optional<LinkEvent> event = link_.Next()) {
      if (const auto* message = std::get_if<Message>(&*event)) {
        session_.OnMessage(*message);
        const bool answered =
            message->type == message::kOrders || message->type == message::kRegistered;
        if (answered && !alive_file_.empty()) Touch(alive_file_);
      } else {
        session_.OnConnected();
      }
    }
    host_.Work(session_);
    session_.Tick();
    if (!session_.left()) Wait();
  }
}

void Worker::Wait() {
  MonotonicTime deadline = std::min(session_.NextDeadline(), host_.NextDeadline());
  if (link_.HasInput()) deadline = MonotonicTime::min();
  std::vector<pollfd> polled = {{.fd = signals_.get(), .events = POLLIN, .revents = 0}};
  link_.AppendTo(polled);
  host_.AppendTo(polled);
  if (poll(polled.data(), polled.size(), PollTimeout(clock_.Now(), deadline)) < 0 &&
      errno != EINTR) {
    throw Error(ErrorCode::kInternal, std::string("wait for events: ") + std::strerror(errno));
  }
}

void Worker::TakeSignals() {
  signalfd_siginfo signal{};
  while (read(signals_.get(), &signal, sizeof signal) == static_cast<ssize_t>(sizeof signal)) {
    session_.Drain();
  }
}

}  // namespace millrace::worker
