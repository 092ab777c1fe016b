#include "broker/dispatcher/workers.h"

#include <algorithm>
#include <utility>

#include "core/model/messages/worker_orders.h"

namespace millrace::broker {

void Workers::OnMessage(Draft& draft, const std::string& instance, Message message, Heard heard) {
  RegisteredWorker* known = state_.workers.FindInstance(instance);
  // Mark it gone first, so that slots freed below are not offered to it.
  if (known != nullptr && heard == Heard::kLate && !known->gone_since) {
    known->gone_since = draft.now().monotonic;
  }
  const bool greets = message.type == message::kRegister || message.type == message::kGoodbye;
  const ReplyTo from{.route = instance, .request_id = message.id};
  Handle(draft, from, known, std::move(message));
  if (heard == Heard::kLate) return;
  if (known != nullptr) {
    // Looked up again: a goodbye removes it.
    if (RegisteredWorker* there = state_.workers.FindInstance(instance)) there->gone_since.reset();
  } else if (!greets) {
    draft.Answer(from, message::UnknownWorker());
  }
}

void Workers::Handle(Draft& draft, const ReplyTo& from, RegisteredWorker* known, Message message) {
  const std::string& type = message.type;
  nlohmann::json& body = message.body;
  if (type == message::kRegister) {
    OnRegister(draft, from, message::Read<message::Register>(std::move(body)));
  } else if (type == message::kGoodbye) {
    OnGoodbye(draft, from);
  } else if (type == message::kFinished) {
    parts_.leases.OnFinished(draft, from, message::Read<message::Finished>(std::move(body)));
  } else if (type == message::kFailed) {
    parts_.leases.OnFailed(draft, from, message::Read<message::Failed>(std::move(body)));
  } else if (type == message::kReleased) {
    parts_.leases.OnReleased(draft, from, message::Read<message::Released>(std::move(body)));
  } else if (type == message::kStarted) {
    parts_.leases.OnStarted(draft, from, message::Read<message::Started>(std::move(body)));
  } else if (type == message::kBeat) {
    if (known == nullptr) return;
    OnBeat(draft, from, *known, message::Read<message::Beat>(std::move(body)));
  } else if (type == message::kProbed) {
    if (known == nullptr) return;
    parts_.probes.OnProbed(draft, *known, message::Read<message::Probed>(std::move(body)));
  } else {
    throw Error(ErrorCode::kProtocolError, "not a worker's message: " + type);
  }
}

void Workers::OnRegister(Draft& draft, const ReplyTo& from, message::Register said) {
  const RegisteredWorker* before = state_.workers.FindInstance(from.route);
  if (before != nullptr && before->name != said.name) {
    throw Error(ErrorCode::kProtocolError, "register: this instance is known as " + before->name);
  }
  std::vector<message::HeldLease> running = std::move(said.running);
  RegisteredWorker worker = MakeWorker(from.route, std::move(said));
  worker.registered_at = draft.now().wall;
  worker.last_beat = draft.now().monotonic;
  RegisteredWorker& registered = Welcome(draft, std::move(worker), running);
  const auto seconds = [](std::chrono::milliseconds time) {
    return std::chrono::duration<double>(time).count();
  };
  std::vector<message::LeaseName> lost = Renew(draft, registered, std::move(running));
  draft.Answer(from, message::Registered{.lease_seconds = seconds(parts_.options.lease),
                                         .beat_seconds = seconds(parts_.options.beat),
                                         .lost = std::move(lost)});
  parts_.leases.RepeatAssigns(draft, registered);
  RepeatCancels(draft, registered);
}

RegisteredWorker& Workers::Welcome(Draft& draft, RegisteredWorker said,
                                   const std::vector<message::HeldLease>& running) {
  if (RegisteredWorker* same = state_.workers.FindInstance(said.instance)) {
    state_.workers.Update(*same, std::move(said));
    return *same;
  }
  if (RegisteredWorker* earlier = state_.workers.FindName(said.name)) {
    HandOver(*earlier, running);
    Forget(draft, *earlier, "lost", "worker " + said.name + " was started anew");
  }
  RegisteredWorker& added = state_.workers.Add(std::move(said));
  added.held_back = !state_.breakers.MayTake(added.name);
  draft.AnnounceWorker(added.name, "registered");
  return added;
}

void Workers::HandOver(RegisteredWorker& earlier, const std::vector<message::HeldLease>& running) {
  for (TaskEntry* task : std::vector<TaskEntry*>(earlier.leases)) {
    const bool listed = std::ranges::any_of(
        running, [&](const message::HeldLease& held) { return held.lease == task->lease_name(); });
    if (!listed) continue;
    std::erase(earlier.leases, task);
    task->lease->instance.clear();
  }
}

std::vector<message::LeaseName> Workers::Renew(Draft& draft, RegisteredWorker& worker,
                                               std::vector<message::HeldLease> running) {
  std::vector<message::LeaseName> lost;
  for (message::HeldLease& held : running) {
    if (TaskEntry* task = parts_.leases.FindCurrent(held.lease)) {
      parts_.leases.Renew(draft, *task, worker);
      if (held.progress && *held.progress != Progress()) {
        parts_.aggregator.ShowProgress(draft, *task, *std::move(held.progress));
      }
    } else if (!parts_.leases.IsSettled(held.lease)) {
      lost.push_back(std::move(held.lease));
    }
  }
  return lost;
}

void Workers::RepeatCancels(Draft& draft, const RegisteredWorker& worker) {
  for (const TaskEntry* task : worker.leases) {
    if (task->record.state != TaskState::kCancelling) continue;
    draft.Send(worker.instance, message::CancelOrder{task->lease_name()});
  }
}

void Workers::OnBeat(Draft& draft, const ReplyTo& from, RegisteredWorker& worker,
                     message::Beat beat) {
  worker.last_beat = draft.now().monotonic;
  if (beat.draining && !worker.draining) draft.AnnounceWorker(worker.name, "draining");
  worker.draining = beat.draining;

  message::Orders orders;
  for (message::LeaseProgress& said : beat.tasks) {
    TaskEntry* task = parts_.leases.FindCurrent(said.lease);
    if (task == nullptr) {
      if (!parts_.leases.IsSettled(said.lease)) orders.lost.push_back(std::move(said.lease));
      continue;
    }
    parts_.leases.Renew(draft, *task, worker);
    // Kept in memory; the next change of the job takes it to the ledger.
    if (!said.media.is_null()) task->job->job.media = std::move(said.media);
    if (task->record.state == TaskState::kCancelling) {
      orders.cancel.push_back(std::move(said.lease));
    } else {
      parts_.aggregator.ShowProgress(draft, *task, std::move(said.progress));
    }
  }
  draft.Answer(from, orders);
  parts_.leases.RepeatAssigns(draft, worker);
}

void Workers::OnGoodbye(Draft& draft, const ReplyTo& from) {
  if (RegisteredWorker* leaving = state_.workers.FindInstance(from.route)) {
    Forget(draft, *leaving, "left", "worker " + leaving->name + " has left");
  }
  draft.Answer(from, message::Ack());
}

void Workers::OnConnectionClosed(Draft& draft, const std::string& instance) {
  RegisteredWorker* worker = state_.workers.FindInstance(instance);
  if (worker != nullptr && !worker->gone_since) worker->gone_since = draft.now().monotonic;
}

void Workers::OnTick(Draft& draft) {
  const MonotonicTime now = draft.now().monotonic;
  for (RegisteredWorker* lost : state_.workers.LostBy(now, Patience())) {
    const bool silent = lost->IsLostBy(now, {.silence = parts_.options.lease});
    Forget(draft, *lost, "lost",
           "worker " + lost->name +
               (silent ? " has been silent for its lease"
                       : " has closed its connection and not come back"));
  }
}

void Workers::Forget(Draft& draft, RegisteredWorker& worker, std::string_view event,
                     const std::string& detail) {
  const Error error(ErrorCode::kWorkerLost, detail);
  for (TaskEntry* task : std::vector<TaskEntry*>(worker.leases)) {
    parts_.lifecycle.Lose(draft, *task, error, "lost");
  }
  state_.probes.Return(worker.instance);
  draft.AnnounceWorker(worker.name, event);
  state_.breakers.OnGone(worker.name, draft.now().monotonic);
  state_.workers.Remove(worker);
}

}  // namespace millrace::broker
