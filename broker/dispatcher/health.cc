#include "broker/dispatcher/health.h"

#include <algorithm>
#include <utility>

namespace millrace::broker {

void Health::CountEnd(Draft& draft, const TaskEntry& task, AttemptEnd end) {
  const std::string& worker = task.record.last_worker;
  const std::string& job = task.record.job_id;
  CountForBreaker(draft, worker, end, job);
  if (end == AttemptEnd::kOther) state_.breakers.OnNeither(worker, task.record.fence);
  const MonotonicTime now = draft.now().monotonic;
  const FailureSpike::Change change = state_.spike.OnEnd(task.record.id, job, worker, end, now);
  FollowSpike(draft, change);
  if (end == AttemptEnd::kOther && state_.spike.OnCanaryGone(task.record.id)) WakeRetries(now);
}

void Health::CountForBreaker(Draft& draft, const std::string& worker, AttemptEnd end,
                             const std::string& job) {
  const MonotonicTime now = draft.now().monotonic;
  if (end == AttemptEnd::kSucceeded) {
    if (!state_.breakers.OnSuccess(worker, now)) return;
    draft.AnnounceWorker(worker, "breaker_closed");
    draft.Add(Warn{.text = "this worker is given jobs again, its trial succeeded",
                   .fields = {{"worker", worker}}});
    return;
  }
  if (end != AttemptEnd::kFailed) return;
  if (!state_.breakers.OnFailure(worker, job, now, state_.workers.NamesOfPeers())) return;
  state_.breakers_in_use = true;
  state_.spike.Disregard(worker);
  const WorkerBreakers::View view = state_.breakers.ViewOf(worker);
  const std::chrono::duration<double> wait = *view.half_open_at - now;
  draft.AnnounceWorker(worker, "breaker_open");
  draft.Add(Warn{.text = "different jobs fail on this worker and not on others, it is given none",
                 .fields = {{"worker", worker},
                            {"failures", view.failures},
                            {"half_open_in_seconds", wait.count()}}});
}

void Health::FollowSpike(Draft& draft, FailureSpike::Change change) {
  switch (change) {
    case FailureSpike::Change::kNone:
      return;
    case FailureSpike::Change::kPaused: {
      const auto wait = state_.spike.until() - draft.now().monotonic;
      state_.retries_paused_until =
          draft.now().wall + std::chrono::duration_cast<std::chrono::microseconds>(wait);
      draft.Add(Warn{.text = "jobs fail on all workers, retries pause",
                     .fields = {{"seconds", std::chrono::duration<double>(wait).count()}}});
      WakeRetries(state_.spike.until());
      return;
    }
    case FailureSpike::Change::kResumed:
      draft.Add(Warn{.text = "retries go on", .fields = nlohmann::json::object()});
      WakeRetries(draft.now().monotonic);
      return;
  }
}

void Health::DropEvidence(Draft& draft, const TaskEntry& task) {
  state_.breakers.OnNeither(task.record.last_worker, task.record.fence);
  if (state_.spike.OnCanaryGone(task.record.id)) WakeRetries(draft.now().monotonic);
}

void Health::FollowBreakers(Now now) {
  if (!state_.breakers_in_use) return;
  state_.breakers.Refresh(now.monotonic);
  // With every breaker open there is no better worker to leave the tasks to.
  if (std::ranges::all_of(state_.workers.NamesOfPeers(), [this](const std::string& name) {
        return state_.breakers.ViewOf(name).state == WorkerBreakers::State::kOpen;
      })) {
    state_.breakers.RelentAll();
  }
  state_.workers.HoldBackUnless(
      [this](const std::string& name) { return state_.breakers.MayTake(name); });
  state_.breakers_in_use = !state_.breakers.AllClosed();
}

void Health::WakeRetries(MonotonicTime when) {
  state_.jobs.ForEach([&](JobEntry& entry) {
    for (TaskEntry& task : entry.tasks) {
      if (task.record.state == TaskState::kRetryWait && !task.deadline) {
        state_.jobs.SetDeadline(task, when);
      }
    }
  });
}

bool Health::HoldBack(Draft& draft, TaskEntry& task) {
  const MonotonicTime now = draft.now().monotonic;
  if (state_.spike.MayGo(task.record.id, now)) return false;
  // Wait for the end of the pause; once that has passed, for the end of the canary.
  state_.jobs.SetDeadline(
      task, now < state_.spike.until() ? std::optional(state_.spike.until()) : std::nullopt);
  return true;
}

void Health::EndPause(Draft& draft) {
  FollowSpike(draft, state_.spike.OnPauseOver(draft.now().monotonic));
}

Verdict Health::Judge(TaskEntry& task, const Error& error, bool is_canary, Now now) {
  const TaskRecord before = task.record;
  Verdict verdict =
      retry_.Judge(task.record, error, task.record.last_worker, task.job->job.request.max_attempts);
  const bool may_be_the_fleet = verdict.action == RetryAction::kBury &&
                                error.traits().retry != RetryClass::kPermanent &&
                                error.traits().retry != RetryClass::kInfrastructure;
  if (!may_be_the_fleet || is_canary || !state_.spike.paused()) return verdict;
  task.record = before;
  const auto pause =
      std::chrono::ceil<std::chrono::milliseconds>(state_.spike.until() - now.monotonic);
  return {.action = RetryAction::kRetry, .delay = std::max(pause, retry_.Backoff(1))};
}

}  // namespace millrace::broker
