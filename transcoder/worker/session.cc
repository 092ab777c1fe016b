#include "transcoder/worker/session.h"

#include <algorithm>
#include <utility>

#include "core/base/error.h"
#include "core/base/failpoint.h"
#include "core/base/id.h"
#include "core/base/json_text.h"
#include "core/base/log.h"
#include "core/model/messages/worker_orders.h"

namespace millrace::worker {
namespace {

using namespace std::chrono_literals;

// The time between two registers.
constexpr auto kRegisterPause = 1s;
// Limits beats to five a second, but for the first two phases of a task, which are told at once.
constexpr auto kBeatSpacing = 200ms;
// Used until the broker has told its own.
constexpr auto kFirstLeaseTime = 30s;
constexpr auto kFirstBeatTime = 5s;
// The patience of a leaving worker with the broker's acknowledgements of its last reports, and then
// of its goodbye.
constexpr auto kLastReportsPatience = 5s;
constexpr auto kGoodbyePatience = 1s;
// The most of `media` in one beat; that of other tasks follows when the beat was answered. One
// input's media always fits.
constexpr size_t kMaxBeatMediaBytes = kMaxBodyBytes / 4;
constexpr size_t kRememberedQuestions = 256;
constexpr size_t kRememberedEnds = 64;

std::chrono::milliseconds Seconds(double seconds) {
  return std::chrono::milliseconds(static_cast<int64_t>(seconds * 1000));
}

}  // namespace

Session::Session(WorkerFacts facts, std::chrono::milliseconds drain_timeout, const Clock& clock,
                 BrokerTransport& transport, TaskHost& host)
    : facts_(std::move(facts)),
      drain_timeout_(drain_timeout),
      clock_(clock),
      transport_(transport),
      host_(host),
      lease_time_(kFirstLeaseTime),
      beat_time_(kFirstBeatTime),
      register_at_(clock.Now()),
      beat_at_(clock.Now()),
      answered_at_(clock.Now()) {}

// --- What the transport brings -------------------------------------------------------------------

void Session::OnConnected() {
  CheckLease();
  // Beats at once: the broker may have been restarted and not know us.
  if (state_ == State::kRegistering) SendRegister();
  if (state_ == State::kRegistered) SendBeat();
}

void Session::OnMessage(const Message& message) {
  try {
    // An answer to a register or a beat may prolong the lease; its handler checks that first.
    const bool answers = message.type == message::kRegistered || message.type == message::kOrders;
    if (!answers) CheckLease();
    Dispatch(message);
  } catch (const Error& error) {
    LogWarning("the broker said something unintelligible",
               {{"type", message.type}, {"detail", error.what()}});
  } catch (const nlohmann::json::exception& error) {
    LogWarning("the broker said something unintelligible",
               {{"type", message.type}, {"detail", error.what()}});
  }
}

void Session::Dispatch(const Message& message) {
  if (message.type == message::kRegistered) return OnRegistered(message);
  if (message.type == message::kOrders) return OnOrders(message);
  if (message.type == message::kUnknownWorker) return OnUnknownWorker();
  if (message.type == message::kAssign) return OnAssign(message);
  if (message.type == message::kCancel) return Cancel(LeaseFromJson(message.body));
  if (message.type == message::kProbe) return OnProbe(message);
  if (message.type == message::kAck) return OnAck(message);
  if (message.type == message::kLeaseLost) return OnLeaseLost(message);
  if (message.type == message::kError) return OnErrorReply(message);
  throw Error(ErrorCode::kProtocolError, "unknown type");
}

void Session::OnRegistered(const Message& message) {
  if (state_ != State::kRegistering) return;
  const auto registered = message::Read<message::Registered>(message.body);
  const auto lease_time = Seconds(registered.lease_seconds);
  const auto beat_time = Seconds(registered.beat_seconds);
  std::ranges::for_each(registered.lost, CheckName);
  const std::optional<Asked> asked = TakeAnswered(message.id);
  if (!asked || lease_time <= 0ms || beat_time <= 0ms) return;
  LogInfo("registered", {{"worker", facts_.name}, {"leases", leases_.size()}});
  state_ = State::kRegistered;
  lease_time_ = lease_time;
  beat_time_ = beat_time;
  answered_at_ = asked->sent_at;
  beat_at_ = clock_.Now();
  // Sends everything again: a restarted broker knows neither progress nor media, and perhaps not
  // that we drain.
  changed_ = draining_ || !leases_.empty();
  for (auto& [lease, held] : leases_) {
    held.media_told.reset();
    held.media_known = false;
    held.resend_at = clock_.Now();
  }
  for (const Lease& lease : registered.lost) Lose(lease);
  CheckLease();
}

void Session::OnOrders(const Message& message) {
  const auto orders = message::Read<message::Orders>(message.body);
  std::ranges::for_each(orders.cancel, CheckName);
  std::ranges::for_each(orders.lost, CheckName);
  const std::optional<Asked> asked = TakeAnswered(message.id);
  if (!asked || state_ != State::kRegistered) return;
  answered_at_ = std::max(answered_at_, asked->sent_at);
  CheckLease();
  for (auto& [lease, held] : leases_) {
    if (held.media_told && asked->number >= *held.media_told) held.media_known = true;
  }
  for (const Lease& lease : orders.cancel) Cancel(lease);
  for (const Lease& lease : orders.lost) Lose(lease);
}

void Session::OnUnknownWorker() {
  if (state_ != State::kRegistered) return;
  LogInfo("the broker does not know this worker any more");
  state_ = State::kRegistering;
  SendRegister();
}

void Session::OnAssign(const Message& message) {
  const Lease lease = LeaseFromJson(message.body);
  const bool known = Find(lease) != nullptr || std::ranges::count(acknowledged_, lease) > 0;
  if (known || state_ != State::kRegistered) return;
  LoseEarlier(lease);
  if (draining_ || Running() >= facts_.slots) return SendReleased(lease, StopReason::kDraining);
  Held held;
  held.lease = lease;
  held.progress.phase = "starting";
  leases_.emplace(lease, std::move(held));
  changed_ = true;
  try {
    const Assignment assignment = AssignmentFromJson(message.body);
    LogInfo("assigned", {{"task", lease.task}, {"fence", lease.fence}, {"job", assignment.job}});
    host_.Start(assignment);
  } catch (const Error& error) {
    // A broker of another version, which would repeat the assignment for ever.
    OnFailed(lease, {.error = error, .usage = {}, .log_tail = {}});
  }
  Failpoint("worker.after_assign");
}

void Session::OnProbe(const Message& message) {
  const ProbeOrder order = ProbeOrderFromJson(message.body);
  if (probes_.contains(order.probe)) return;
  if (draining_) {
    return Refuse(order, Error(ErrorCode::kWorkerDraining, "the worker is shutting down"));
  }
  if (static_cast<int>(probes_.size()) >= facts_.probe_slots) {
    return Refuse(order, Error(ErrorCode::kNoWorker, "the worker is probing other inputs"));
  }
  probes_.insert(order.probe);
  host_.StartProbe(order);
}

void Session::OnAck(const Message& message) {
  if (state_ == State::kLeaving && TakeAnswered(message.id)) {
    state_ = State::kLeft;
    return;
  }
  const Held* held = FindReport(message.id);
  if (held == nullptr) return;
  if (held->report.type == message::kFinished) Failpoint("worker.after_finished");
  acknowledged_.push_back(held->lease);
  if (acknowledged_.size() > kRememberedEnds) acknowledged_.pop_front();
  leases_.erase(Lease(held->lease));
}

void Session::OnLeaseLost(const Message& message) {
  if (const Held* held = FindReport(message.id)) {
    const Lease lease = held->lease;
    LogWarning("the report came too late", ToJson(lease));
    host_.Discard(lease);
    leases_.erase(lease);
    return;
  }
  Lose(LeaseFromJson(message.body));
}

void Session::OnErrorReply(const Message& message) {
  const Error error = ErrorFromJson(message.body);
  LogWarning("the broker refused a message",
             {{"code", error.traits().name}, {"detail", error.what()}});
  Held* held = FindReport(message.id);
  // A report that the broker cannot take now is repeated; one that it cannot understand is not.
  if (held == nullptr || error.code() != ErrorCode::kProtocolError) return;
  const Lease lease = held->lease;
  host_.Discard(lease);
  if (held->report.type == message::kFinished) {
    AttemptFailure failure{
        .error = Error(ErrorCode::kInternal,
                       std::string("the broker did not understand the result: ") + error.what()),
        .usage = {},
        .log_tail = {}};
    return Report(*held,
                  message::Write(message::Failed{
                      .instance = facts_.instance, .lease = lease, .failure = ToJson(failure)}));
  }
  leases_.erase(lease);  // the broker finds it by the end of the lease
}

// --- What is said --------------------------------------------------------------------------------

int64_t Session::Ask(const Message& message) {
  asked_.push_back({.id = message.id, .number = ++asked_count_, .sent_at = clock_.Now()});
  if (asked_.size() > kRememberedQuestions) asked_.pop_front();
  transport_.Send(message);
  return asked_count_;
}

std::optional<Session::Asked> Session::TakeAnswered(const std::string& id) {
  const auto found = std::ranges::find(asked_, id, &Asked::id);
  if (found == asked_.end()) return std::nullopt;
  Asked answered = *found;
  asked_.erase(asked_.begin(), std::next(found));  // earlier ones were lost
  return answered;
}

void Session::SendRegister() {
  register_at_ = clock_.Now() + kRegisterPause;
  message::Register body{.instance = facts_.instance,
                         .name = facts_.name,
                         .slots = facts_.slots,
                         .probe_slots = facts_.probe_slots,
                         .encoders = facts_.encoders,
                         .cores = facts_.cores,
                         .memory_bytes = facts_.memory_bytes,
                         .labels = facts_.labels,
                         .versions = facts_.versions};
  for (const auto& [lease, held] : leases_) {
    const bool given_up = held.stage == Stage::kStopping && held.reason == StopReason::kLost;
    if (!given_up) body.running.push_back({.lease = lease, .progress = held.progress});
  }
  Ask(message::Write(body));
}

void Session::SendBeat() {
  beat_at_ = clock_.Now();
  changed_ = false;
  urgent_ = false;
  message::Beat beat{.instance = facts_.instance, .draining = draining_};
  size_t media_bytes = 0;
  for (auto& [lease, held] : leases_) {
    message::LeaseProgress task{.lease = lease, .progress = held.progress};
    if (!held.media.is_null() && !held.media_known) {
      media_bytes += ToText(held.media).size();
      if (media_bytes <= kMaxBeatMediaBytes) {
        task.media = held.media;
        if (!held.media_told) held.media_told = asked_count_ + 1;  // this beat
      } else {
        held.media_told.reset();  // when the broker knows that of the others
      }
    }
    beat.tasks.push_back(std::move(task));
  }
  Ask(message::Write(beat));
}

void Session::SendDueReports() {
  for (auto& [lease, held] : leases_) {
    if (held.stage == Stage::kReporting && clock_.Now() >= held.resend_at) SendReport(held);
  }
}

Message Session::Released(const Lease& lease, StopReason reason) const {
  const std::string_view word = reason == StopReason::kCancelled ? message::Released::kCancelled
                                                                 : message::Released::kDraining;
  return message::Write(
      message::Released{.instance = facts_.instance, .lease = lease, .reason = std::string(word)});
}

void Session::SendReleased(const Lease& lease, StopReason reason) {
  transport_.Send(Released(lease, reason));
}

void Session::Refuse(const ProbeOrder& order, const Error& error) {
  transport_.Send(message::Write(
      message::Probed{.instance = facts_.instance, .probe = order.probe, .error = ToJson(error)}));
}

// --- Time ----------------------------------------------------------------------------------------

void Session::Tick() {
  const MonotonicTime now = clock_.Now();
  if (state_ == State::kLeft) return;
  CheckDrain();
  if (state_ == State::kLeaving || state_ == State::kLeft) return;
  CheckLease();
  if (state_ == State::kRegistering) {
    if (now >= register_at_) SendRegister();
    return;
  }
  SendDueReports();
  if (now >= BeatDue()) SendBeat();
}

MonotonicTime Session::NextDeadline() const {
  MonotonicTime next = leave_at_;
  if (state_ == State::kLeaving || state_ == State::kLeft) return next;
  if (draining_) next = AtWork() ? std::min(next, drain_at_) : MonotonicTime::min();
  next = std::min(next, answered_at_ + lease_time_);
  if (state_ == State::kRegistering) return std::min(next, register_at_);
  for (const auto& [lease, held] : leases_) {
    if (held.stage == Stage::kReporting) next = std::min(next, held.resend_at);
  }
  return std::min(next, BeatDue());
}

MonotonicTime Session::BeatDue() const {
  if (urgent_) return beat_at_;
  return changed_ ? beat_at_ + std::min<MonotonicTime::duration>(kBeatSpacing, beat_time_)
                  : beat_at_ + beat_time_;
}

void Session::CheckLease() {
  if (state_ == State::kLeaving || state_ == State::kLeft) return;
  if (clock_.Now() >= answered_at_ + lease_time_) OnLeaseOver();
}

void Session::OnLeaseOver() {
  LogWarning("the broker has been silent for a lease", {{"leases", leases_.size()}});
  for (auto& [lease, held] : leases_) {
    if (held.stage == Stage::kRunning) StopRun(held, StopReason::kLost);
  }
  state_ = State::kRegistering;
  answered_at_ = clock_.Now();
  asked_.clear();
  transport_.Reconnect();
  register_at_ = clock_.Now();
}

void Session::Drain() {
  CheckLease();
  const MonotonicTime now = clock_.Now();
  if (leave_at_ != MonotonicTime::max()) {
    leave_at_ = now;
  } else if (draining_) {
    drain_at_ = now;
  } else {
    LogInfo("draining", {{"leases", leases_.size()}, {"probes", probes_.size()}});
    draining_ = true;
    host_.SkipExcerpts();
    drain_at_ = now + drain_timeout_;
    if (state_ == State::kRegistered) SendBeat();
  }
}

void Session::CheckDrain() {
  const MonotonicTime now = clock_.Now();
  if (!draining_) return;
  if (now >= leave_at_) {
    state_ = State::kLeft;
    return;
  }
  if (state_ == State::kLeaving) return;
  if (now >= drain_at_) {
    drain_at_ = MonotonicTime::max();
    leave_at_ = now + kLastReportsPatience;
    probes_.clear();  // they end with their processes
    for (auto& [lease, held] : leases_) {
      if (held.stage == Stage::kRunning) StopRun(held, StopReason::kDraining);
    }
  }
  if (AtWork()) return;
  const bool known = state_ == State::kRegistered;
  state_ = State::kLeaving;
  leave_at_ = now + (known ? kGoodbyePatience : 0s);
  if (known) Ask(message::Write(message::Goodbye{.instance = facts_.instance}));
}

bool Session::AtWork() const { return !leases_.empty() || !probes_.empty(); }

int Session::Running() const {
  return static_cast<int>(std::ranges::count_if(
      leases_, [](const auto& entry) { return entry.second.stage == Stage::kRunning; }));
}

}  // namespace millrace::worker
