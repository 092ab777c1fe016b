#include <algorithm>
#include <utility>

#include "broker/dispatcher/impl.h"

// Whose fault it is when much fails: one worker's (its breaker opens) or the fleet's (retries
// pause).

namespace millrace::broker {

void Dispatcher::Impl::NoteEnd(Draft& draft, const TaskEntry& task, AttemptEnd end) {
  const std::string& worker = task.record.last_worker;
  const std::string& job = task.record.job_id;
  NoteBreaker(draft, worker, end, job);
  if (end == AttemptEnd::kOther) breakers_.OnNeither(worker, task.record.fence);
  const MonotonicTime now = draft.now().monotonic;
  const FailureSpike::Change change = spike_.OnEnd(task.record.id, job, worker, end, now);
  NoteSpike(draft, change);
  if (end == AttemptEnd::kOther && spike_.OnCanaryGone(task.record.id)) WakeRetries(now);
}

void Dispatcher::Impl::NoteBreaker(Draft& draft, const std::string& worker, AttemptEnd end,
                                   const std::string& job) {
  const MonotonicTime now = draft.now().monotonic;
  if (end == AttemptEnd::kSucceeded) {
    if (!breakers_.OnSuccess(worker, now)) return;
    AnnounceWorker(draft, worker, "breaker_closed");
    draft.Add(Warn{.text = "this worker is given jobs again, its trial succeeded",
                   .fields = {{"worker", worker}}});
    return;
  }
  if (end != AttemptEnd::kFailed) return;
  if (!breakers_.OnFailure(worker, job, now, workers_.NamesOfPeers())) return;
  breakers_in_use_ = true;
  spike_.Disregard(worker);
  const WorkerBreakers::View view = breakers_.ViewOf(worker);
  const std::chrono::duration<double> wait = *view.half_open_at - now;
  AnnounceWorker(draft, worker, "breaker_open");
  draft.Add(Warn{.text = "different jobs fail on this worker and not on others, it is given none",
                 .fields = {{"worker", worker},
                            {"failures", view.failures},
                            {"half_open_in_seconds", wait.count()}}});
}

void Dispatcher::Impl::NoteSpike(Draft& draft, FailureSpike::Change change) {
  switch (change) {
    case FailureSpike::Change::kNone:
      return;
    case FailureSpike::Change::kPaused: {
      const auto wait = spike_.until() - draft.now().monotonic;
      retries_paused_until_ =
          draft.now().wall + std::chrono::duration_cast<std::chrono::microseconds>(wait);
      draft.Add(Warn{.text = "jobs fail on all workers, retries pause",
                     .fields = {{"seconds", std::chrono::duration<double>(wait).count()}}});
      WakeRetries(spike_.until());
      return;
    }
    case FailureSpike::Change::kResumed:
      draft.Add(Warn{.text = "retries go on", .fields = nlohmann::json::object()});
      WakeRetries(draft.now().monotonic);
      return;
  }
}

void Dispatcher::Impl::NoteGone(Draft& draft, const TaskEntry& task) {
  breakers_.OnNeither(task.record.last_worker, task.record.fence);
  if (spike_.OnCanaryGone(task.record.id)) WakeRetries(draft.now().monotonic);
}

void Dispatcher::Impl::FollowBreakers(Now now) {
  if (!breakers_in_use_) return;
  breakers_.Refresh(now.monotonic);
  // Where all are broken, none is more so than the others.
  if (std::ranges::all_of(workers_.NamesOfPeers(), [this](const std::string& name) {
        return breakers_.ViewOf(name).state == WorkerBreakers::State::kOpen;
      })) {
    breakers_.RelentAll();
  }
  workers_.HoldBackUnless([this](const std::string& name) { return breakers_.MayTake(name); });
  breakers_in_use_ = !breakers_.AllClosed();
}

void Dispatcher::Impl::WakeRetries(MonotonicTime when) {
  jobs_.ForEach([&](JobEntry& entry) {
    for (TaskEntry& task : entry.tasks) {
      if (task.record.state == TaskState::kRetryWait && !task.deadline) {
        jobs_.SetDeadline(task, when);
      }
    }
  });
}

bool Dispatcher::Impl::HoldBack(Draft& draft, TaskEntry& task) {
  const MonotonicTime now = draft.now().monotonic;
  if (spike_.MayGo(task.record.id, now)) return false;
  // Until the pause is over, or else until the canary has ended.
  jobs_.SetDeadline(task, now < spike_.until() ? std::optional(spike_.until()) : std::nullopt);
  return true;
}

Verdict Dispatcher::Impl::Judge(TaskEntry& task, const Error& error, bool is_canary, Now now) {
  const TaskRecord before = task.record;
  Verdict verdict =
      retry_.Judge(task.record, error, task.record.last_worker, task.job->job.request.max_attempts);
  const bool may_be_the_fleet = verdict.action == RetryAction::kBury &&
                                error.traits().retry != RetryClass::kPermanent &&
                                error.traits().retry != RetryClass::kInfrastructure;
  if (!may_be_the_fleet || is_canary || !spike_.paused()) return verdict;
  task.record = before;
  const auto pause = std::chrono::ceil<std::chrono::milliseconds>(spike_.until() - now.monotonic);
  return {.action = RetryAction::kRetry, .delay = std::max(pause, retry_.Backoff(1))};
}

}  // namespace millrace::broker
