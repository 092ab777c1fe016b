#include <stdexcept>
#include <utility>

#include "broker/dispatcher/impl.h"
#include "broker/dispatcher/report.h"

// What happens to tasks and jobs. A job has one task, so a job's state follows its task's.

namespace millrace::broker {
namespace {

// An illegal transition is a mistake in this code that leaves memory half changed. It is no Error,
// which would stand for a message that changed nothing: the loop starts anew from the ledger.
template <typename State, typename Event>
State MustNext(State state, Event event) {
  const std::optional<State> next = NextState(state, event);
  if (next) return *next;
  throw std::logic_error("no transition leads from " + std::string(NameOf(state)) + " by " +
                         std::string(NameOf(event)));
}

Error ErrorOf(const Attempt& attempt) {
  if (!attempt.failure.is_object()) return Error(ErrorCode::kInternal, "");
  return ErrorFromJson(attempt.failure.value("error", nlohmann::json::object()));
}

// A task that has just crashed on a worker waits for another, be it busy: only that tells whose
// fault it is. Any other goes elsewhere if there is room.
std::string WorkerToAvoid(const JobEntry& entry) {
  if (entry.attempts.empty() || entry.attempts.back().outcome != "failed") return "";
  const Attempt& last = entry.attempts.back();
  return ErrorOf(last).traits().retry == RetryClass::kCrash ? last.worker : "";
}

// What stays of the progress of an attempt that has ended.
Progress PercentsOf(const Progress& progress) {
  return {.percent = progress.percent, .outputs = progress.outputs};
}

// What the end of an attempt says about the machinery.
AttemptEnd EndOf(const Error& error) {
  switch (error.traits().retry) {
    case RetryClass::kCrash:
    case RetryClass::kTransient:
    case RetryClass::kUnknown:
      return AttemptEnd::kFailed;
    case RetryClass::kInfrastructure:
      return error.code() == ErrorCode::kWorkerDiskFull ? AttemptEnd::kFailed : AttemptEnd::kOther;
    case RetryClass::kPermanent:
      break;
  }
  return AttemptEnd::kOther;
}

}  // namespace

void Dispatcher::Impl::Advance(Draft& draft, TaskEntry& task, TaskEvent event) {
  task.record.state = MustNext(task.record.state, event);
  draft.Change(task);
}

int64_t Dispatcher::Impl::Advance(Draft& draft, JobEntry& entry, JobEvent event) {
  jobs_.SetState(entry, MustNext(entry.job.state, event));
  draft.Change(entry);
  return draft.Append(entry.job, event);
}

void Dispatcher::Impl::Enqueue(TaskEntry& task) {
  queue_.Add(task.place(), {.needs = task.needs, .avoid = WorkerToAvoid(*task.job)}, &task);
}

void Dispatcher::Impl::LeaseTo(Draft& draft, TaskEntry& task, RegisteredWorker& worker) {
  JobEntry& entry = *task.job;
  queue_.Remove(task.place());
  Advance(draft, task, TaskEvent::kLease);
  task.record.fence = ++last_fence_;
  task.record.last_worker = worker.name;
  task.lease = Lease{.instance = worker.instance, .acknowledged = false};
  worker.leases.push_back(&task);
  breakers_.OnLease(worker.name, task.record.fence);
  worker.held_back = !breakers_.MayTake(worker.name);
  jobs_.SetDeadline(task, draft.now().monotonic + options_.lease);

  if (!entry.job.started_at) entry.job.started_at = draft.now().wall;
  entry.job.error = nullptr;
  entry.progress.phase.clear();
  Advance(draft, entry, JobEvent::kStart);
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

void Dispatcher::Impl::EndAttempt(Draft& draft, TaskEntry& task, std::string_view outcome) {
  if (Attempt* attempt = FindAttempt(*task.job, task.record.fence)) {
    attempt->finished_at = draft.now().wall;
    attempt->outcome = outcome;
    draft.Put(*attempt);
  }
  if (task.lease) {
    if (RegisteredWorker* worker = workers_.FindInstance(task.lease->instance)) {
      std::erase(worker->leases, &task);
    }
  }
  task.lease.reset();
  jobs_.SetDeadline(task, std::nullopt);
  // The percentage stays, for it never falls; nothing goes on at the old speed.
  task.job->progress = PercentsOf(task.job->progress);
}

void Dispatcher::Impl::FinishTask(Draft& draft, TaskEntry& task, nlohmann::json manifest,
                                  Manifest parsed) {
  EndAttempt(draft, task, "succeeded");
  NoteEnd(draft, task, AttemptEnd::kSucceeded);
  task.record.manifest = std::move(manifest);
  Advance(draft, task, TaskEvent::kFinish);
  if (!parsed.media.is_null()) task.job->job.media = parsed.media;
  Advance(draft, *task.job, JobEvent::kPublish);
  BeginPublish(draft, task, std::move(parsed));
}

void Dispatcher::Impl::FailTask(Draft& draft, TaskEntry& task, nlohmann::json failure,
                                std::string_view outcome) {
  JobEntry& entry = *task.job;
  const Error error = ErrorFromJson(failure.at("error"));
  Attempt* attempt = FindAttempt(entry, task.record.fence);
  if (attempt != nullptr) attempt->failure = failure;
  task.record.failure = std::move(failure);
  EndAttempt(draft, task, outcome);
  if (attempt == nullptr || !KeepsFolder(*attempt)) {
    Discard(draft, task.record.id, task.record.fence);
  }
  const bool is_canary = spike_.IsCanary(task.record.id);
  if (outcome == "failed") {
    NoteEnd(draft, task, EndOf(error));
  } else {
    NoteGone(draft, task);
  }
  const Verdict verdict = Judge(task, error, is_canary, draft.now());
  switch (verdict.action) {
    case RetryAction::kRequeue:
      Advance(draft, task, TaskEvent::kRequeue);
      Advance(draft, entry, JobEvent::kRequeue);
      Enqueue(task);
      break;
    case RetryAction::kRetry:
      Advance(draft, task, TaskEvent::kRetry);
      task.record.due_at = draft.now().wall + verdict.delay;
      jobs_.SetDeadline(task, draft.now().monotonic + verdict.delay);
      entry.job.error = ToJson(error);
      Advance(draft, entry, JobEvent::kRetry);
      break;
    case RetryAction::kBury:
      Advance(draft, task, TaskEvent::kFail);
      BeginBury(draft, task);
      break;
  }
}

void Dispatcher::Impl::LoseTask(Draft& draft, TaskEntry& task, const Error& error,
                                std::string_view outcome) {
  if (task.record.state == TaskState::kCancelling) {
    StopTask(draft, task, outcome);
  } else {
    FailTask(draft, task, {{"error", ToJson(error)}}, outcome);
  }
}

void Dispatcher::Impl::StopTask(Draft& draft, TaskEntry& task, std::string_view outcome) {
  EndAttempt(draft, task, outcome);
  NoteGone(draft, task);
  Discard(draft, task.record.id, task.record.fence);
  Advance(draft, task, TaskEvent::kStopped);
  Advance(draft, *task.job, JobEvent::kStopped);
  EndJob(draft, *task.job);
}

void Dispatcher::Impl::CancelJob(Draft& draft, JobEntry& entry) {
  Advance(draft, entry, JobEvent::kCancel);
  for (TaskEntry& task : entry.tasks) {
    queue_.Remove(task.place());
    Advance(draft, task, TaskEvent::kCancel);
    if (task.record.state == TaskState::kCancelled) {
      task.record.due_at.reset();
      jobs_.SetDeadline(task, std::nullopt);
      NoteGone(draft, task);
    } else if (task.lease && !task.lease->instance.empty()) {
      draft.Send(task.lease->instance, message::kCancel, "",
                 {{"task", task.record.id}, {"fence", task.record.fence}});
    }
  }
  if (IsTerminal(entry.job.state)) EndJob(draft, entry);
}

void Dispatcher::Impl::BeginPublish(Draft& draft, TaskEntry& task, Manifest manifest) {
  jobs_.SetDeadline(task, std::nullopt);
  draft.Add(PublishOutputs{.task_id = task.record.id,
                           .job_id = task.record.job_id,
                           .fence = task.record.fence,
                           .manifest = std::move(manifest)});
}

void Dispatcher::Impl::RedoTask(Draft& draft, TaskEntry& task, const Error& error) {
  JobEntry& entry = *task.job;
  task.record.manifest = nullptr;
  task.record.failure = {{"error", ToJson(error)}};
  if (Attempt* attempt = FindAttempt(entry, task.record.fence)) {
    attempt->failure = task.record.failure;
  }
  EndAttempt(draft, task, "lost");
  Discard(draft, task.record.id, task.record.fence);
  ++task.record.infrastructure_failures;
  Advance(draft, task, TaskEvent::kRedo);
  if (task.record.infrastructure_failures > options_.max_infrastructure_failures) {
    Advance(draft, task, TaskEvent::kFail);
    BeginBury(draft, task);
    return;
  }
  Advance(draft, entry, JobEvent::kRedo);
  Enqueue(task);
}

void Dispatcher::Impl::BeginBury(Draft& draft, TaskEntry& task) {
  jobs_.SetDeadline(task, std::nullopt);
  draft.Add(Bury{.letter = MakeDeadLetter(*task.job, CauseOfDeath(task.record), draft.now().wall)});
}

void Dispatcher::Impl::TryEffectLater(TaskEntry& task, Now now) {
  ++task.effect_failures;
  jobs_.SetDeadline(task, now.monotonic + retry_.Backoff(task.effect_failures));
}

void Dispatcher::Impl::EndJob(Draft& draft, JobEntry& entry) {
  entry.job.finished_at = draft.now().wall;
  if (entry.job.state != JobState::kSucceeded) {
    entry.job.last_progress = PercentsOf(entry.progress);
  }
  // A dead letter has copied what it needs. The folders go after the commit, so that it could be
  // written again until then.
  for (const Attempt& attempt : entry.attempts) {
    if (KeepsFolder(attempt)) Discard(draft, attempt.task_id, attempt.fence);
    settled_.Remember(attempt);
  }
  drain_rate_.Count(draft.now().monotonic);
  // The letter of an earlier generation has left the queue; now nobody needs its folder either.
  if (entry.job.generation > 1 && entry.job.state != JobState::kDead) {
    draft.Add(RemoveDeadLetter{.job_id = entry.job.id});
  }
  OnCanaryEnded(draft, entry);
}

void Dispatcher::Impl::Discard(Draft& draft, const std::string& task_id, Fence fence) {
  draft.Add(DiscardWork{.task_id = task_id, .fence = fence});
}

}  // namespace millrace::broker
