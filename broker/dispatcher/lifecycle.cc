#include "broker/dispatcher/lifecycle.h"

#include <algorithm>
#include <utility>

#include "broker/dispatcher/report.h"
#include "core/model/messages/worker_orders.h"

namespace millrace::broker {
namespace {

// Reads the end of an attempt as evidence about its worker.
AttemptEnd EvidenceOf(const Error& error) {
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

// Returns true if the input has nothing for this task but may have something for other tasks of the
// job. The outputs are then skipped, as they would be by a single task that made all of them.
bool IsPassedOver(const TaskEntry& task, const Error& error) {
  if (error.code() != ErrorCode::kNoMatchingStreams || !error.context().is_object() ||
      error.context().value("stage", "") != "probe") {
    return false;
  }
  return std::ranges::any_of(task.job->tasks, [&](const TaskEntry& other) {
    if (&other == &task) return false;
    return other.record.state != TaskState::kDone || !other.record.manifest.at("files").empty();
  });
}

// Returns the manifest of a task that was passed over.
nlohmann::json PassedOver(const TaskEntry& task, const Error& error) {
  Manifest manifest;
  for (const OutputSpec& output : SpecOf(task).outputs) {
    manifest.warnings.push_back(
        {.code = "output_skipped", .detail = "output " + output.name + ": " + error.what()});
  }
  return ToJson(manifest);
}

void Discard(Draft& draft, const std::string& task_id, Fence fence) {
  draft.Add(DiscardWork{.task_id = task_id, .fence = fence});
}

}  // namespace

void Lifecycle::Resume(Draft& draft) {
  state_.jobs.ForEach([&](JobEntry& entry) {
    if (entry.job.state == JobState::kPublishing && FailedTask(entry) == nullptr) {
      parts_.aggregator.Publish(draft, entry);
    } else {
      BuryOnceStopped(draft, entry);
    }
  });
}

void Lifecycle::Queue(Draft& draft, JobEntry& entry) {
  for (TaskEntry& task : entry.tasks) {
    if (IsReady(task)) {
      state_.Enqueue(task);
    } else {
      draft.Advance(task, TaskEvent::kBlock);
    }
  }
}

void Lifecycle::EndAttempt(Draft& draft, TaskEntry& task, std::string_view outcome) {
  if (Attempt* attempt = FindAttempt(*task.job, task.record.fence)) {
    attempt->finished_at = draft.now().wall;
    attempt->outcome = outcome;
    draft.Put(*attempt);
  }
  if (task.lease) {
    if (RegisteredWorker* worker = state_.workers.FindInstance(task.lease->instance)) {
      std::erase(worker->leases, &task);
    }
  }
  task.lease.reset();
  state_.jobs.SetDeadline(task, std::nullopt);
  parts_.aggregator.EndPace(task);
}

void Lifecycle::Finish(Draft& draft, TaskEntry& task, nlohmann::json manifest,
                       const Manifest& parsed) {
  EndAttempt(draft, task, "succeeded");
  parts_.health.CountEnd(draft, task, AttemptEnd::kSucceeded);
  if (!parsed.media.is_null()) task.job->job.media = parsed.media;
  Complete(draft, task, std::move(manifest));
}

void Lifecycle::Complete(Draft& draft, TaskEntry& task, nlohmann::json manifest) {
  JobEntry& entry = *task.job;
  task.record.manifest = std::move(manifest);
  draft.Advance(task, TaskEvent::kFinish);
  for (TaskEntry& other : entry.tasks) {
    if (other.record.state != TaskState::kBlocked || !IsReady(other)) continue;
    draft.Advance(other, TaskEvent::kReady);
    state_.Enqueue(other);
  }
  parts_.aggregator.Follow(draft, entry);
  if (entry.job.state == JobState::kPublishing) {
    parts_.aggregator.Publish(draft, entry);
  } else {
    parts_.aggregator.Show(draft, entry);
  }
}

void Lifecycle::Fail(Draft& draft, TaskEntry& task, nlohmann::json failure) {
  EndBadly(draft, task, std::move(failure), "failed");
}

void Lifecycle::EndBadly(Draft& draft, TaskEntry& task, nlohmann::json failure,
                         std::string_view outcome) {
  const Error error = ErrorFromJson(failure.at("error"));
  Attempt* attempt = FindAttempt(*task.job, task.record.fence);
  if (attempt != nullptr) attempt->failure = failure;
  task.record.failure = std::move(failure);
  EndAttempt(draft, task, outcome);
  if (attempt == nullptr || !KeepsFolder(*attempt)) {
    Discard(draft, task.record.id, task.record.fence);
  }
  const bool is_canary = state_.spike.IsCanary(task.record.id);
  if (outcome == "failed") {
    parts_.health.CountEnd(draft, task, EvidenceOf(error));
  } else {
    parts_.health.DropEvidence(draft, task);
  }
  if (IsPassedOver(task, error)) {
    Complete(draft, task, PassedOver(task, error));
  } else {
    Apply(draft, task, parts_.health.Judge(task, error, is_canary, draft.now()));
  }
}

void Lifecycle::Apply(Draft& draft, TaskEntry& task, const Verdict& verdict) {
  switch (verdict.action) {
    case RetryAction::kRequeue:
      draft.Advance(task, TaskEvent::kRequeue);
      state_.Enqueue(task);
      break;
    case RetryAction::kRetry:
      draft.Advance(task, TaskEvent::kRetry);
      task.record.due_at = draft.now().wall + verdict.delay;
      state_.jobs.SetDeadline(task, draft.now().monotonic + verdict.delay);
      break;
    case RetryAction::kBury:
      GiveUp(draft, task);
      break;
  }
  parts_.aggregator.Follow(draft, *task.job);
}

void Lifecycle::Lose(Draft& draft, TaskEntry& task, const Error& error, std::string_view outcome) {
  if (task.record.state == TaskState::kCancelling) {
    Stop(draft, task, outcome);
  } else {
    EndBadly(draft, task, {{"error", ToJson(error)}}, outcome);
  }
}

void Lifecycle::Stop(Draft& draft, TaskEntry& task, std::string_view outcome) {
  EndAttempt(draft, task, outcome);
  parts_.health.DropEvidence(draft, task);
  Discard(draft, task.record.id, task.record.fence);
  draft.Advance(task, TaskEvent::kStopped);
  parts_.aggregator.Follow(draft, *task.job);
  if (IsTerminal(task.job->job.state)) {
    EndJob(draft, *task.job);
  } else {
    BuryOnceStopped(draft, *task.job);
  }
}

void Lifecycle::StopTasks(Draft& draft, JobEntry& entry) {
  for (TaskEntry& task : entry.tasks) {
    if (!NextState(task.record.state, TaskEvent::kCancel)) continue;  // it has ended
    state_.queue.Remove(task.place());
    draft.Advance(task, TaskEvent::kCancel);
    if (task.record.state == TaskState::kCancelled) {
      task.record.due_at.reset();
      state_.jobs.SetDeadline(task, std::nullopt);
      parts_.health.DropEvidence(draft, task);
    } else if (task.lease && !task.lease->instance.empty()) {
      draft.Send(task.lease->instance, message::CancelOrder{task.lease_name()});
    }
  }
}

void Lifecycle::Cancel(Draft& draft, JobEntry& entry) {
  StopTasks(draft, entry);
  parts_.aggregator.Follow(draft, entry);
  if (IsTerminal(entry.job.state)) EndJob(draft, entry);
}

void Lifecycle::FailUnstarted(Draft& draft, TaskEntry& task, const Error& error) {
  task.record.failure = {{"error", ToJson(error)}};
  GiveUp(draft, task);
}

void Lifecycle::GiveUp(Draft& draft, TaskEntry& task) {
  draft.Advance(task, TaskEvent::kFail);
  StopTasks(draft, *task.job);
  BuryOnceStopped(draft, *task.job);
}

void Lifecycle::OnDeadline(Draft& draft, TaskEntry& task) {
  switch (task.record.state) {
    case TaskState::kLeased:
    case TaskState::kCancelling:
      Lose(draft, task,
           Error(ErrorCode::kLeaseLost,
                 "worker " + task.record.last_worker + " did not renew its lease"),
           "lost");
      break;
    case TaskState::kRetryWait:
      if (parts_.health.HoldBack(draft, task)) break;
      state_.jobs.SetDeadline(task, std::nullopt);
      task.record.due_at.reset();
      draft.Advance(task, TaskEvent::kDue);
      parts_.aggregator.Follow(draft, *task.job);
      state_.Enqueue(task);
      break;
    case TaskState::kDone:
      parts_.aggregator.Publish(draft, *task.job);
      break;
    case TaskState::kFailed:
      BuryOnceStopped(draft, *task.job);
      break;
    case TaskState::kQueued:
    case TaskState::kBlocked:
    case TaskState::kCancelled:
      state_.jobs.SetDeadline(task, std::nullopt);
      break;
  }
}

JobEntry* Lifecycle::FindPublishing(const std::string& job_id, Fence fence) const {
  JobEntry* entry = state_.jobs.Find(job_id);
  const bool publishing = entry != nullptr && entry->job.state == JobState::kPublishing &&
                          FailedTask(*entry) == nullptr &&
                          parts_.aggregator.FenceOf(*entry) == fence;
  return publishing ? entry : nullptr;
}

void Lifecycle::OnResult(Draft& draft, const Published& published) {
  JobEntry* entry = FindPublishing(published.job_id, published.fence);
  if (entry == nullptr) return;
  parts_.aggregator.TakeOutputs(*entry);
  draft.Advance(*entry, JobEvent::kPublished);
  EndJob(draft, *entry);
}

void Lifecycle::OnResult(Draft& draft, const PublishFailed& failed) {
  JobEntry* entry = FindPublishing(failed.job_id, failed.fence);
  if (entry == nullptr) return;
  // Failing storage may recover, and then the encode need not be repeated.
  if (failed.error.traits().blame == Blame::kStorage) {
    TryEffectLater(entry->tasks.front(), draft.now());
    return;
  }
  for (const std::string& id : failed.lost) {
    if (FailedTask(*entry) != nullptr) return;
    Redo(draft, *state_.jobs.FindTask(id), failed.error);
  }
}

void Lifecycle::OnResult(Draft& draft, const Buried& buried) {
  JobEntry* entry = state_.jobs.Find(buried.job_id);
  const TaskEntry* failed = entry == nullptr ? nullptr : FailedTask(*entry);
  if (failed == nullptr) return;
  const Error cause = CauseOfDeath(failed->record);
  entry->job.error = ToJson(cause);
  const int64_t sequence = draft.Advance(*entry, JobEvent::kBury);
  parts_.letters.Open(draft, *entry, cause, sequence);
  EndJob(draft, *entry);
}

void Lifecycle::OnResult(Draft& draft, const BuryFailed& failed) {
  JobEntry* entry = state_.jobs.Find(failed.job_id);
  const TaskEntry* task = entry == nullptr ? nullptr : FailedTask(*entry);
  if (task != nullptr) TryEffectLater(*state_.jobs.FindTask(task->record.id), draft.now());
}

void Lifecycle::Redo(Draft& draft, TaskEntry& task, const Error& error) {
  task.record.manifest = nullptr;
  task.record.failure = {{"error", ToJson(error)}};
  if (Attempt* attempt = FindAttempt(*task.job, task.record.fence)) {
    attempt->failure = task.record.failure;
  }
  EndAttempt(draft, task, "lost");
  Discard(draft, task.record.id, task.record.fence);
  ++task.record.infrastructure_failures;
  draft.Advance(task, TaskEvent::kRedo);
  if (task.record.infrastructure_failures > parts_.options.max_infrastructure_failures) {
    GiveUp(draft, task);
    return;
  }
  parts_.aggregator.Follow(draft, *task.job);
  state_.Enqueue(task);
}

void Lifecycle::BuryOnceStopped(Draft& draft, JobEntry& entry) {
  const TaskEntry* failed = FailedTask(entry);
  if (failed == nullptr) return;
  for (TaskEntry& task : entry.tasks) {
    if (task.record.state == TaskState::kCancelling) return;
  }
  state_.jobs.SetDeadline(*state_.jobs.FindTask(failed->record.id), std::nullopt);
  draft.Add(broker::Bury{
      .letter = MakeDeadLetter(*failed, CauseOfDeath(failed->record), draft.now().wall)});
}

void Lifecycle::TryEffectLater(TaskEntry& task, Now now) {
  ++task.effect_failures;
  state_.jobs.SetDeadline(task, now.monotonic + parts_.retry.Backoff(task.effect_failures));
}

void Lifecycle::EndJob(Draft& draft, JobEntry& entry) {
  entry.job.finished_at = draft.now().wall;
  if (entry.job.state != JobState::kSucceeded) {
    entry.job.last_progress = parts_.aggregator.LastProgress(entry);
  }
  for (const TaskEntry& task : entry.tasks) {
    const bool unused = task.record.state == TaskState::kDone;
    if (unused && entry.job.state != JobState::kSucceeded) {
      Discard(draft, task.record.id, task.record.fence);
    }
  }
  // The dead letter has its own copies. Remove folders only after the commit: until then the letter
  // may have to be written again.
  for (const Attempt& attempt : entry.attempts) {
    if (KeepsFolder(attempt)) Discard(draft, attempt.task_id, attempt.fence);
    state_.settled.Remember(attempt);
  }
  state_.drain_rate.Count(draft.now().monotonic);
  // The redrive closed the letter of the previous generation, but its folder was kept in case the
  // job died again.
  if (entry.job.generation > 1 && entry.job.state != JobState::kDead) {
    draft.Add(RemoveDeadLetter{.job_id = entry.job.id});
  }
  parts_.canaries.OnEnded(draft, entry);
}

}  // namespace millrace::broker
