#include "broker/dispatcher/leases.h"

#include <utility>

#include "broker/dispatcher/report.h"
#include "core/model/messages/worker_orders.h"

namespace millrace::broker {
namespace {

message::Ack AckOf(const message::LeaseName& name) {
  return {.task = name.task, .fence = name.fence};
}

}  // namespace

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
  draft.Send(task.lease->instance,
             message::Assign{.lease = task.lease_name(),
                             .job = job.id,
                             .attempt = task.record.attempts_spent + 1,
                             .input = ToJson(task.record.input.value_or(job.request.input)),
                             .input_name = InputFact(job, "name"),
                             .spec = ToJson(SpecOf(task))});
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

TaskEntry* Leases::FindCurrent(const message::LeaseName& name) const {
  TaskEntry* task = state_.jobs.FindTask(name.task);
  if (task == nullptr || !task->lease || task->record.fence != name.fence) return nullptr;
  return task;
}

std::string Leases::OutcomeOf(const message::LeaseName& name) const {
  if (const TaskEntry* task = state_.jobs.FindTask(name.task)) {
    const Attempt* attempt = FindAttempt(*task->job, name.fence);
    return attempt == nullptr ? "" : attempt->outcome;
  }
  return state_.settled.OutcomeOf(name.task, name.fence);
}

bool Leases::IsSettled(const message::LeaseName& name) const {
  const std::string outcome = OutcomeOf(name);
  return !outcome.empty() && outcome != "lost";
}

void Leases::AnswerSettled(Draft& draft, const ReplyTo& worker, const message::LeaseName& name,
                           std::string_view outcome) const {
  // The worker of a cancelled attempt may report any end.
  const std::string before = OutcomeOf(name);
  if (before == outcome || before == "cancelled") {
    draft.Answer(worker, AckOf(name));
  } else {
    draft.Answer(worker, message::LeaseLost{name});
  }
}

void Leases::OnStarted(Draft& draft, const ReplyTo& worker, const message::Started& said) {
  if (TaskEntry* task = FindCurrent(said.lease)) {
    task->lease->acknowledged = true;
  } else if (!IsSettled(said.lease)) {
    draft.Answer(worker, message::LeaseLost{said.lease});
  }
}

void Leases::OnFinished(Draft& draft, const ReplyTo& worker, message::Finished said) {
  const Manifest manifest = ManifestFromJson(said.manifest);
  TaskEntry* task = FindCurrent(said.lease);
  if (task == nullptr) {
    AnswerSettled(draft, worker, said.lease, "succeeded");
    return;
  }
  if (task->record.state == TaskState::kCancelling) {
    lifecycle_.Stop(draft, *task, "cancelled");
  } else {
    lifecycle_.Finish(draft, *task, std::move(said.manifest), manifest);
  }
  draft.Answer(worker, AckOf(said.lease));
}

void Leases::OnFailed(Draft& draft, const ReplyTo& worker, message::Failed said) {
  AttemptFailureFromJson(said.failure);  // throws unless it is one
  TaskEntry* task = FindCurrent(said.lease);
  if (task == nullptr) {
    AnswerSettled(draft, worker, said.lease, "failed");
    return;
  }
  if (!said.media.is_null()) task->job->job.media = std::move(said.media);
  if (task->record.state == TaskState::kCancelling) {
    lifecycle_.Stop(draft, *task, "cancelled");
  } else {
    lifecycle_.Fail(draft, *task, std::move(said.failure));
  }
  draft.Answer(worker, AckOf(said.lease));
}

void Leases::OnReleased(Draft& draft, const ReplyTo& worker, const message::Released& said) {
  TaskEntry* task = FindCurrent(said.lease);
  if (task == nullptr) {
    AnswerSettled(draft, worker, said.lease, "released");
    return;
  }
  // Mark it draining first, so that the task is not offered to it again.
  RegisteredWorker* known = state_.workers.FindInstance(worker.route);
  if (said.reason == message::Released::kDraining && known != nullptr) {
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
  draft.Answer(worker, AckOf(said.lease));
}

}  // namespace millrace::broker
