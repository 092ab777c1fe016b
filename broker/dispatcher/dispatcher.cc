#include "broker/dispatcher/dispatcher.h"

#include <utility>
#include <variant>

#include "broker/dispatcher/report.h"
#include "broker/dispatcher/views.h"

namespace millrace::broker {
namespace {

RetryLimits LimitsOf(const DispatcherOptions& options) {
  return {.base = options.retry_base,
          .cap = options.retry_cap,
          .max_infrastructure_failures = options.max_infrastructure_failures,
          .max_unknown_attempts = options.max_unknown_attempts};
}

}  // namespace

Dispatcher::Dispatcher(DispatcherOptions options, Snapshot snapshot, Now now)
    : options_(std::move(options)),
      retry_(LimitsOf(options_), options_.random),
      state_(options_, std::move(snapshot), now),
      aggregator_(state_),
      health_(state_, retry_),
      letters_(state_),
      canaries_(state_),
      probes_(state_),
      lifecycle_({.options = options_,
                  .retry = retry_,
                  .state = state_,
                  .aggregator = aggregator_,
                  .health = health_,
                  .letters = letters_,
                  .canaries = canaries_}),
      leases_(options_, state_, aggregator_, lifecycle_),
      workers_({.options = options_,
                .state = state_,
                .aggregator = aggregator_,
                .lifecycle = lifecycle_,
                .leases = leases_,
                .probes = probes_}),
      admission_({.options = options_,
                  .state = state_,
                  .aggregator = aggregator_,
                  .lifecycle = lifecycle_,
                  .leases = leases_}),
      redrives_({.state = state_,
                 .aggregator = aggregator_,
                 .letters = letters_,
                 .canaries = canaries_,
                 .leases = leases_,
                 .admission = admission_,
                 .lifecycle = lifecycle_}) {}

template <typename Decide>
Outcome Dispatcher::Decided(Now now, Decide decide) {
  Draft draft(now, state_);
  decide(draft);
  health_.FollowBreakers(now);
  leases_.FillSlots(draft);
  probes_.FillSlots(draft);
  return draft.Finish();
}

Outcome Dispatcher::Resume(Now now) {
  return Decided(now, [&](Draft& draft) {
    lifecycle_.Resume(draft);
    canaries_.Resume(draft);
  });
}

Outcome Dispatcher::OnSubmit(const ReplyTo& to, message::Submit submit,
                             const std::optional<EndedJob>& ended, Now now) {
  return Decided(now,
                 [&](Draft& draft) { admission_.OnSubmit(draft, to, std::move(submit), ended); });
}

Outcome Dispatcher::OnCancel(const ReplyTo& to, const message::Cancel& cancel, Now now) {
  return Decided(now, [&](Draft& draft) { admission_.OnCancel(draft, to, cancel); });
}

Outcome Dispatcher::OnProbe(const ReplyTo& to, message::Probe probe, Now now) {
  return Decided(now, [&](Draft& draft) { probes_.OnProbe(draft, to, std::move(probe)); });
}

Outcome Dispatcher::OnDead(const ReplyTo& to, const message::Redrive& redrive,
                           std::vector<DeadJob> jobs, Now now) {
  return Decided(now,
                 [&](Draft& draft) { redrives_.OnRedrive(draft, to, redrive, std::move(jobs)); });
}

Outcome Dispatcher::OnDead(const ReplyTo& to, const message::RedriveMany& redrive,
                           std::vector<DeadJob> jobs, Now now) {
  return Decided(
      now, [&](Draft& draft) { redrives_.OnRedriveMany(draft, to, redrive, std::move(jobs)); });
}

Outcome Dispatcher::OnDead(const ReplyTo& to, const message::Purge& purge,
                           std::vector<DeadJob> jobs, Now now) {
  return Decided(now, [&](Draft& draft) { letters_.OnPurge(draft, to, purge, std::move(jobs)); });
}

Outcome Dispatcher::OnDead(const ReplyTo& to, const message::PurgeMany& purge,
                           std::vector<DeadJob> jobs, Now now) {
  return Decided(now,
                 [&](Draft& draft) { letters_.OnPurgeMany(draft, to, purge, std::move(jobs)); });
}

Outcome Dispatcher::OnDeadLoaded(const LoadDead& asked, std::vector<DeadJob> jobs, Now now) {
  return Decided(now, [&](Draft& draft) { redrives_.OnDeadLoaded(draft, asked, std::move(jobs)); });
}

Outcome Dispatcher::OnExpired(std::vector<DeadJob> jobs, Now now) {
  return Decided(now, [&](Draft& draft) { letters_.OnExpired(draft, std::move(jobs)); });
}

Outcome Dispatcher::OnWorker(const std::string& instance, Message message, Now now, Heard heard) {
  return Decided(
      now, [&](Draft& draft) { workers_.OnMessage(draft, instance, std::move(message), heard); });
}

Outcome Dispatcher::OnWorkerGone(const std::string& instance, Now now) {
  return Decided(now, [&](Draft& draft) { workers_.OnConnectionClosed(draft, instance); });
}

Outcome Dispatcher::OnResult(const EffectResult& result, Now now) {
  return Decided(now, [&](Draft& draft) {
    std::visit([&](const auto& one) { lifecycle_.OnResult(draft, one); }, result);
  });
}

Outcome Dispatcher::OnTick(Now now) {
  return Decided(now, [&](Draft& draft) {
    workers_.OnTick(draft);
    for (TaskEntry* task : state_.jobs.Due(now.monotonic)) lifecycle_.OnDeadline(draft, *task);
    health_.EndPause(draft);
    probes_.OnTick(draft);
  });
}

std::optional<MonotonicTime> Dispatcher::NextDeadline() const {
  std::optional<MonotonicTime> next = state_.jobs.NextDeadline();
  for (const auto& other : {workers_.NextLoss(), state_.probes.NextDeadline(),
                            state_.breakers.NextChange(), state_.spike.NextChange()}) {
    if (other && (!next || *other < *next)) next = other;
  }
  return next;
}

const Job* Dispatcher::Find(const std::string& job_id) const {
  const JobEntry* entry = state_.jobs.Find(job_id);
  return entry == nullptr ? nullptr : &entry->job;
}

const Job* Dispatcher::FindByKey(const std::string& key) const {
  const JobEntry* entry = state_.jobs.FindByKey(key);
  return entry == nullptr ? nullptr : &entry->job;
}

LiveJob Dispatcher::Live(const std::string& job_id) const {
  const JobEntry* entry = state_.jobs.Find(job_id);
  return entry == nullptr ? LiveJob() : aggregator_.LiveOf(*entry);
}

bool Dispatcher::OwnsWork(const std::string& task_id, Fence fence) const {
  const TaskEntry* task = state_.jobs.FindTask(task_id);
  if (task == nullptr) return false;
  const bool current = task->record.fence == fence;
  if (current && (task->lease || task->record.state == TaskState::kDone)) return true;
  const Attempt* attempt = FindAttempt(*task->job, fence);
  return attempt != nullptr && KeepsFolder(*attempt);
}

nlohmann::json Dispatcher::QueueView(Now now) const { return broker::QueueView(state_, now); }
nlohmann::json Dispatcher::WorkersView(Now now) const { return broker::WorkersView(state_, now); }

}  // namespace millrace::broker
