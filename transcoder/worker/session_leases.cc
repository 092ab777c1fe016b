#include <chrono>
#include <string>
#include <utility>

#include "core/base/error.h"
#include "core/base/failpoint.h"
#include "core/base/id.h"
#include "core/base/log.h"
#include "transcoder/worker/session.h"

// The leases of a session: how each runs, is reported and ends. session.cc has the conversation
// with the broker and its timing.

namespace millrace::worker {
namespace {

constexpr std::chrono::seconds kResendPause{1};
// Limits how often an encoder makes its worker beat at once.
constexpr int kPhasesToldAtOnce = 2;

}  // namespace

// --- What the task host brings -------------------------------------------------------------------

void Session::OnStarted(const Lease& lease) {
  CheckLease();
  const Held* held = Find(lease);
  if (held == nullptr || held->stage != Stage::kRunning || state_ != State::kRegistered) return;
  transport_.Send(message::Write(message::Started{.instance = facts_.instance, .lease = lease}));
}

void Session::OnMedia(const Lease& lease, nlohmann::json media) {
  Held* held = Find(lease);
  if (held == nullptr) return;
  held->media = std::move(media);
  held->media_told.reset();
  held->media_known = false;
  changed_ = true;
}

void Session::OnProgress(const Lease& lease, Progress progress) {
  Held* held = Find(lease);
  if (held == nullptr) return;
  const bool next_phase = progress.phase != held->progress.phase;
  if (next_phase && held->phases_told_at_once < kPhasesToldAtOnce) {
    ++held->phases_told_at_once;
    urgent_ = true;
  }
  changed_ = changed_ || next_phase || progress.percent != held->progress.percent;
  held->progress = std::move(progress);
}

void Session::OnFinished(const Lease& lease, Manifest manifest, const ResourceUsage& usage) {
  CheckLease();
  Held* held = Find(lease);
  if (held == nullptr || held->stage == Stage::kStopping) {
    host_.Discard(lease);
    return OnStopped(lease);
  }
  LogInfo("finished", ToJson(lease));
  Report(*held, message::Write(message::Finished{.instance = facts_.instance,
                                                 .lease = lease,
                                                 .manifest = ToJson(manifest),
                                                 .usage = ToJson(usage)}));
}

void Session::OnFailed(const Lease& lease, AttemptFailure failure) {
  CheckLease();
  Held* held = Find(lease);
  if (held == nullptr || held->stage == Stage::kStopping) {
    host_.Discard(lease);
    return OnStopped(lease);
  }
  LogWarning("failed", {{"task", lease.task},
                        {"fence", lease.fence},
                        {"code", failure.error.traits().name},
                        {"detail", failure.error.what()}});
  Report(*held, message::Write(message::Failed{.instance = facts_.instance,
                                               .lease = lease,
                                               .failure = ToJson(failure),
                                               .media = held->media}));
}

void Session::OnStopped(const Lease& lease) {
  CheckLease();
  Held* held = Find(lease);
  if (held == nullptr) return;
  LogInfo("stopped", ToJson(lease));
  if (held->reason == StopReason::kLost) {
    leases_.erase(lease);
    return;
  }
  ReportReleased(*held);
}

void Session::OnProbed(const std::string& probe, nlohmann::json media) {
  EndProbe({.instance = facts_.instance, .probe = probe, .media = std::move(media)});
}

void Session::OnProbeFailed(const std::string& probe, const Error& error) {
  EndProbe({.instance = facts_.instance, .probe = probe, .error = ToJson(error)});
}

void Session::EndProbe(const message::Probed& answer) {
  if (probes_.erase(answer.probe) == 0) return;
  transport_.Send(message::Write(answer));
}

// --- Leases --------------------------------------------------------------------------------------

void Session::Cancel(const Lease& lease) {
  Held* held = Find(lease);
  // The broker repeats the order for a lease that is not held here until it is told so.
  if (held == nullptr) return SendReleased(lease, StopReason::kCancelled);
  if (held->stage == Stage::kRunning) return StopRun(*held, StopReason::kCancelled);
  if (held->stage == Stage::kStopping) {
    if (held->reason == StopReason::kDraining) held->reason = StopReason::kCancelled;
    return;
  }
  // The report of the end and the order crossed: the broker would not have ordered had it known.
  if (held->report.type == message::kReleased) return;
  host_.Discard(lease);
  held->reason = StopReason::kCancelled;
  ReportReleased(*held);
}

void Session::Lose(const Lease& lease) {
  Held* held = Find(lease);
  // A report on its way gets an answer of its own: it may have been in time.
  if (held == nullptr || held->stage == Stage::kReporting) return;
  LogWarning("the lease is lost", ToJson(lease));
  StopRun(*held, StopReason::kLost);
}

void Session::LoseEarlier(const Lease& lease) {
  for (const auto& [other, held] : leases_) {
    if (other.task == lease.task && other.fence < lease.fence) Lose(other);
  }
}

void Session::StopRun(Held& held, StopReason reason) {
  const bool running = held.stage == Stage::kRunning;
  held.stage = Stage::kStopping;
  held.reason = reason;
  if (running) host_.Stop(held.lease);
}

void Session::Report(Held& held, Message report) {
  held.stage = Stage::kReporting;
  held.report = std::move(report);
  held.resend_at = clock_.Now();
  if (state_ == State::kRegistered) SendReport(held);
}

void Session::ReportReleased(Held& held) { Report(held, Released(held.lease, held.reason)); }

void Session::SendReport(Held& held) {
  held.resend_at = clock_.Now() + kResendPause;
  if (held.report.type == message::kFinished) Failpoint("worker.before_finished");
  transport_.Send(held.report);
}

Session::Held* Session::Find(const Lease& lease) {
  const auto found = leases_.find(lease);
  return found == leases_.end() ? nullptr : &found->second;
}

Session::Held* Session::FindReport(const std::string& message_id) {
  for (auto& [lease, held] : leases_) {
    if (held.stage == Stage::kReporting && held.report.id == message_id) return &held;
  }
  return nullptr;
}

}  // namespace millrace::worker
