#include "transcoder/worker/child/outcome.h"

#include <sys/wait.h>

#include <csignal>
#include <cstring>
#include <utility>

namespace millrace::worker {
namespace {

// Before the child transcodes, its media time means nothing.
bool HasBegun(const Progress& progress) {
  return !progress.phase.empty() && progress.phase != "probing";
}

nlohmann::json WhereItWas(const Progress& progress) {
  nlohmann::json where = {{"phase", progress.phase}, {"percent", progress.percent}};
  if (HasBegun(progress)) where["media_seconds"] = progress.media_seconds;
  return where;
}

// Keeps the place that the child reported, and adds how far it had come.
Error ReportedError(const ChildEnd& end) {
  if (!HasBegun(end.progress) || !end.error->fields().empty()) return *end.error;
  nlohmann::json context = WhereItWas(end.progress);
  context.update(end.error->context());
  return Error(end.error->code(), end.error->what(), std::move(context));
}

Error StalledError(const ChildEnd& end) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(end.stall_timeout).count();
  return Error(ErrorCode::kStalled,
               "the encoder made no progress for " + std::to_string(seconds) + " s",
               WhereItWas(end.progress));
}

Error CrashError(const ChildEnd& end, int signal) {
  nlohmann::json context = WhereItWas(end.progress);
  context["signal"] = SignalName(signal);
  if (signal == SIGKILL && end.memory_pressure) {
    return Error(ErrorCode::kOutOfMemory, "the system killed the encoder for want of memory",
                 std::move(context));
  }
  return Error(ErrorCode::kEncoderCrashed, "the encoder was ended by " + SignalName(signal),
               std::move(context));
}

Error NoResultError(const ChildEnd& end) {
  const int status = end.usage.exit_status.value_or(0);
  const char* said = end.manifest ? "reported a result but then exited with status "
                                  : "exited without a result, with status ";
  nlohmann::json context = WhereItWas(end.progress);
  context["exit_status"] = status;
  return Error(ErrorCode::kEncodeFailed,
               std::string("the encoder ") + said + std::to_string(status), std::move(context));
}

// REQUIRES: the end is not a success.
Error ErrorOf(const ChildEnd& end) {
  if (end.cause == KillCause::kStalled) return StalledError(end);
  if (end.cause == KillCause::kDeadline) {
    return Error(ErrorCode::kDeadlineExceeded, "the input could not be examined in time");
  }
  if (end.error) return ReportedError(end);
  if (!end.refusal.empty()) {
    return Error(ErrorCode::kWorkerLost, "the encoder could not be started: " + end.refusal);
  }
  if (!end.wait_status) {
    return Error(ErrorCode::kWorkerLost, "the process that keeps the encoders ended");
  }
  if (end.usage.signal) return CrashError(end, *end.usage.signal);
  return NoResultError(end);
}

}  // namespace

Outcome Judge(ChildEnd end) {
  if (end.wait_status && WIFEXITED(*end.wait_status)) {
    end.usage.exit_status = WEXITSTATUS(*end.wait_status);
  }
  if (end.wait_status && WIFSIGNALED(*end.wait_status)) {
    end.usage.signal = WTERMSIG(*end.wait_status);
  }
  if (end.cause == KillCause::kOrdered) return RunStopped{};
  // A child that had delivered its result when the watchdog killed it has succeeded.
  if (end.manifest && !end.error && end.usage.exit_status == 0) {
    return RunFinished{std::move(*end.manifest), end.usage};
  }
  return RunFailed{ErrorOf(end), end.usage};
}

std::string SignalName(int signal) {
  const char* name = sigabbrev_np(signal);
  return name != nullptr ? std::string("SIG") + name : "signal " + std::to_string(signal);
}

}  // namespace millrace::worker
