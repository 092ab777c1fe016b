#include "broker/dispatcher/leases.h"

#include <utility>

#include "broker/dispatcher/message_body.h"

namespace millrace::broker {
namespace {

LeaseName ReadName(const Message& message) { return ReadBody(message, LeaseNameFromJson); }

const nlohmann::json& Member(const Message& message, const char* key) {
  const auto found = message.body.find(key);
  if (found == message.body.end()) RefuseBody(message, std::string("has no ") + key);
  return *found;
}

// The failure as the ledger keeps it; throws Error{kProtocolError} unless it is one.
nlohmann::json ReadFailure(const Message& message) {
  const nlohmann::json& failure = Member(message, "failure");
  AttemptFailureFromJson(failure);
  return failure;
}

}  // namespace

nlohmann::json ToJson(const LeaseName& name) {
  return {{"task", name.task}, {"fence", name.fence}};
}

LeaseName LeaseNameFromJson(const nlohmann::json& json) {
  return {.task = json.at("task"), .fence = json.at("fence")};
}

void Leases::FillSlots(Draft& draft) {
  if (state_.draining) return;
  while (!state_.queue.empty() && state_.workers.HasFreeSlot()) {
    TaskQueue::Lane chosen;
    TaskEntry* task = state_.queue.First([&](const TaskQueue::Lane& lane) {
      if (!state_.workers.CanTake(lane)) return false;
      chosen = lane;
      return true;
    });
    if (task == nullptr) return;
    Give(draft, *task, *state_.workers.Pick(chosen, task->record.last_worker));
  }
}

void Leases::Give(Draft& draft, TaskEntry& task, RegisteredWorker& worker) {
  JobEntry& entry = *task.job;
  state_.queue.Remove(task.place());
  draft.Advance(task, TaskEvent::kLease);
  task.record.fence = ++state_.last_fence;
  task.record.last_worker = worker.name;
  task.lease = Lease{.instance = worker.instance, .acknowledged = false};
  worker.leases.push_back(&task);
  state_.breakers.OnLease(worker.name, task.record.fence);
  worker.held_back = !state_.breakers.MayTake(worker.name);
  state_.jobs.SetDeadline(task, draft.now().monotonic + options_.lease);

  if (!entry.job.started_at) entry.job.started_at = draft.now().wall;
  entry.job.error = nullptr;
  draft.Change(entry);
  aggregator_.Follow(draft, entry);
  entry.attempts.push_back({.task_id = task.record.id,
                            .fence = task.record.fence,
                            .number = task.record.attempts_spent + 1,
                            .generation = entry.job.generation,
                            .worker = worker.name,
                            .started_at = draft.now().wall,
                            .finished_at = std::nullopt,
                            .outcome = "running",
                            .failure = nullptr,
                            .versions = worker.versions});
  draft.Put(entry.attempts.back());
  SendAssign(draft, task);
}

void Leases::SendAssign(Draft& draft, const TaskEntry& task) const {
  const Job& job = task.job->job;
  nlohmann::json body = {{"task", task.record.id},
                         {"job", job.id},
                         {"fence", task.record.fence},
                         {"attempt", task.record.attempts_spent + 1},
                         {"input", ToJson(job.request.input)}};
  body["input_name"] = job.input_facts.is_object() ? job.input_facts.value("name", "") : "";
  body["spec"] = ToJson(job.request.spec);
  draft.Send(task.lease->instance, message::kAssign, "", std::move(body));
}

void Leases::RepeatAssigns(Draft& draft, const RegisteredWorker& worker) const {
  for (const TaskEntry* task : worker.leases) {
    if (!task->lease->acknowledged && task->record.state == TaskState::kLeased) {
      SendAssign(draft, *task);
    }
  }
}

void Leases::Renew(Draft& draft, TaskEntry& task, RegisteredWorker& worker) {
  if (task.lease->instance != worker.instance) {
    if (RegisteredWorker* holder = state_.workers.FindInstance(task.lease->instance)) {
      std::erase(holder->leases, &task);
    }
    task.lease->instance = worker.instance;
    worker.leases.push_back(&task);
  }
  task.lease->acknowledged = true;
  state_.jobs.SetDeadline(task, draft.now().monotonic + options_.lease);
}

TaskEntry* Leases::FindCurrent(const LeaseName& name) const {
  TaskEntry* task = state_.jobs.FindTask(name.task);
  if (task == nullptr || !task->lease || task->record.fence != name.fence) return nullptr;
  return task;
}

std::string Leases::OutcomeOf(const LeaseName& name) const {
  if (const TaskEntry* task = state_.jobs.FindTask(name.task)) {
    const Attempt* attempt = FindAttempt(*task->job, name.fence);
    return attempt == nullptr ? "" : attempt->outcome;
  }
  return state_.settled.OutcomeOf(name.task, name.fence);
}

bool Leases::IsSettled(const LeaseName& name) const {
  const std::string outcome = OutcomeOf(name);
  return !outcome.empty() && outcome != "lost";
}

void Leases::AnswerSettled(Draft& draft, const std::string& peer, const Message& message,
                           const LeaseName& name, std::string_view outcome) const {
  // The worker of a cancelled attempt may report any end.
  const std::string before = OutcomeOf(name);
  const bool repeated = before == outcome || before == "cancelled";
  draft.Send(peer, repeated ? message::kAck : message::kLeaseLost, message.id, ToJson(name));
}

void Leases::OnStarted(Draft& draft, const std::string& peer, const Message& message) {
  const LeaseName name = ReadName(message);
  if (TaskEntry* task = FindCurrent(name)) {
    task->lease->acknowledged = true;
  } else if (!IsSettled(name)) {
    draft.Send(peer, message::kLeaseLost, message.id, ToJson(name));
  }
}

void Leases::OnFinished(Draft& draft, const std::string& peer, const Message& message) {
  const LeaseName name = ReadName(message);
  const nlohmann::json& manifest = Member(message, "manifest");
  const Manifest parsed = ManifestFromJson(manifest);
  TaskEntry* task = FindCurrent(name);
  if (task == nullptr) {
    AnswerSettled(draft, peer, message, name, "succeeded");
    return;
  }
  if (task->record.state == TaskState::kCancelling) {
    lifecycle_.Stop(draft, *task, "cancelled");
  } else {
    lifecycle_.Finish(draft, *task, manifest, parsed);
  }
  draft.Send(peer, message::kAck, message.id, ToJson(name));
}

void Leases::OnFailed(Draft& draft, const std::string& peer, const Message& message) {
  const LeaseName name = ReadName(message);
  nlohmann::json failure = ReadFailure(message);
  TaskEntry* task = FindCurrent(name);
  if (task == nullptr) {
    AnswerSettled(draft, peer, message, name, "failed");
    return;
  }
  const auto media = message.body.find("media");
  if (media != message.body.end() && !media->is_null()) task->job->job.media = *media;
  if (task->record.state == TaskState::kCancelling) {
    lifecycle_.Stop(draft, *task, "cancelled");
  } else {
    lifecycle_.Fail(draft, *task, std::move(failure));
  }
  draft.Send(peer, message::kAck, message.id, ToJson(name));
}

void Leases::OnReleased(Draft& draft, const std::string& peer, const Message& message) {
  const LeaseName name = ReadName(message);
  const bool draining = Member(message, "reason") == "draining";
  TaskEntry* task = FindCurrent(name);
  if (task == nullptr) {
    AnswerSettled(draft, peer, message, name, "released");
    return;
  }
  // Mark it draining first, so that the task is not offered to it again.
  RegisteredWorker* known = state_.workers.FindInstance(peer);
  if (draining && known != nullptr) {
    if (!known->draining) draft.AnnounceWorker(known->name, "draining");
    known->draining = true;
  }
  if (task->record.state == TaskState::kCancelling) {
    lifecycle_.Stop(draft, *task, "cancelled");
  } else {
    lifecycle_.Lose(draft, *task,
                    Error(ErrorCode::kWorkerDraining,
                          "worker " + task->record.last_worker + " handed the task back"),
                    "released");
  }
  draft.Send(peer, message::kAck, message.id, ToJson(name));
}

}  // namespace millrace::broker
