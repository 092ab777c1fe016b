#include "api/link/call_table.h"

#include <algorithm>
#include <utility>
#include <variant>

#include "api/link/guarded.h"
#include "core/base/log.h"

namespace millrace::api {

void CallTable::Start(std::shared_ptr<PendingCall> call) {
  PendingCall& started = *call;
  pending_.emplace(started.id, std::move(call));
  Send(started);
  PlanLook(started);
}

void CallTable::OnWritable() {
  while (!unsent_.empty()) {
    const auto found = pending_.find(unsent_.front());
    if (found != pending_.end()) {
      PendingCall& call = *found->second;
      if (!send_(call.frames)) return;
      call.sent = true;
      call.last_sent = clock_.Now();
    }
    unsent_.pop_front();
  }
}

void CallTable::OnReply(const Frames& frames) {
  last_heard_ = clock_.Now();
  Message reply;
  try {
    reply = DecodeMessage(frames);
  } catch (const Error& error) {
    LogWarning("a reply of the broker is malformed", {{"error", error.what()}});
    return;
  }
  if (reply.type == message::kOk) {
    Finish(reply.id, std::move(reply.body));
  } else if (reply.type == message::kError) {
    Finish(reply.id, ErrorFromJson(reply.body));
  } else {
    LogWarning("a reply of the broker has an unknown type", {{"type", reply.type}});
  }
}

std::optional<MonotonicTime> CallTable::NextTick() const {
  if (looks_.empty()) return std::nullopt;
  return looks_.begin()->first;
}

void CallTable::Tick() {
  const MonotonicTime now = clock_.Now();
  while (!looks_.empty() && looks_.begin()->first <= now) {
    const std::string id = std::move(looks_.begin()->second);
    looks_.erase(looks_.begin());
    LookAfter(id);
  }
}

void CallTable::EndAll(const Error& error) {
  while (!pending_.empty()) Finish(std::string(pending_.begin()->first), error);
}

void CallTable::Send(PendingCall& call) {
  call.sent = unsent_.empty() && send_(call.frames);
  call.last_sent = clock_.Now();
  if (!call.sent) unsent_.push_back(call.id);
}

void CallTable::PlanLook(const PendingCall& call) {
  looks_.emplace(std::min(call.deadline, clock_.Now() + times_.repeat), call.id);
}

void CallTable::LookAfter(const std::string& id) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  PendingCall& call = *found->second;
  if (auto error = Verdict(call)) {
    Finish(id, *std::move(error));
    return;
  }
  if (call.sent && IsToBeRepeated(call)) {
    Send(call);
  } else if (call.sent) {
    AskForASignOfLife(call);
  }
  PlanLook(call);
}

std::optional<Error> CallTable::Verdict(const PendingCall& call) const {
  const MonotonicTime now = clock_.Now();
  const bool silent = now - std::max(call.started, last_heard_) >= times_.silence;
  const bool over = now >= call.deadline;
  if ((silent && call.manner != Manner::kPatiently) || (over && call.manner != Manner::kOnce)) {
    return Error(ErrorCode::kBrokerUnavailable, "the broker does not answer; try again");
  }
  if (over) return Error(ErrorCode::kDeadlineExceeded, "no answer within the time allowed");
  return std::nullopt;
}

// Copies of a call that costs a busy broker much must not queue up there. The broker answers in
// order: once it has answered a ping that was sent later, the call was lost or is about to be
// answered.
bool CallTable::IsToBeRepeated(const PendingCall& call) const {
  if (call.manner == Manner::kPatiently) return last_answered_ping_ > call.last_sent;
  return call.manner == Manner::kRepeated;
}

// Sends a ping that is waited for as long as the call itself. A connection that takes none is no
// reason to keep one for later.
void CallTable::AskForASignOfLife(const PendingCall& call) {
  const MonotonicTime now = clock_.Now();
  const auto answered = [this, now](const BrokerReply& reply) {
    if (std::holds_alternative<Error>(reply)) return;
    last_answered_ping_ = std::max(last_answered_ping_, now);
  };
  auto ping = std::make_shared<PendingCall>(message::kPing, nlohmann::json::object(), Manner::kOnce,
                                            answered);
  if (!send_(ping->frames)) return;
  ping->started = now;
  ping->deadline = call.deadline;
  ping->sent = true;
  looks_.emplace(ping->deadline, ping->id);
  pending_.emplace(ping->id, std::move(ping));
}

void CallTable::Finish(const std::string& id, BrokerReply reply) {
  const auto found = pending_.find(id);
  if (found == pending_.end()) return;
  const std::shared_ptr<PendingCall> call = found->second;
  pending_.erase(found);
  // Ids that nobody waits for must not gather while the broker is away.
  while (!unsent_.empty() && !pending_.contains(unsent_.front())) unsent_.pop_front();
  Guarded([&] { call->done(std::move(reply)); });
}

}  // namespace millrace::api
