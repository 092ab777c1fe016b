#include "broker/dispatcher/dispatcher.h"

#include <algorithm>
#include <iterator>
#include <unordered_map>
#include <utility>

#include "broker/dispatcher/impl.h"

namespace millrace::broker {
namespace {

RetryLimits LimitsOf(const DispatcherOptions& options) {
  return {.base = options.retry_base,
          .cap = options.retry_cap,
          .max_infrastructure_failures = options.max_infrastructure_failures,
          .max_unknown_attempts = options.max_unknown_attempts};
}

// The tasks or attempts of a snapshot, by `key`, in their order.
template <typename Record, typename Key>
auto GroupBy(std::vector<Record> records, Key key) {
  std::unordered_map<std::string, std::vector<Record>> groups;
  for (Record& record : records) {
    std::vector<Record>& group = groups[key(record)];
    group.push_back(std::move(record));
  }
  return groups;
}

}  // namespace

Dispatcher::Impl::Impl(DispatcherOptions options, Snapshot snapshot, Now now)
    : options_(std::move(options)),
      retry_(LimitsOf(options_), options_.random),
      drain_rate_(now.monotonic),
      poison_(snapshot.poison),
      breakers_(options_.breaker),
      spike_(options_.spike),
      last_fence_(snapshot.last_fence),
      last_sequence_(snapshot.last_sequence) {
  for (RedriveRecord& redrive : snapshot.redrives) {
    std::string id = redrive.id;
    redrives_.emplace(std::move(id), std::move(redrive));
  }
  RestoreAll(std::move(snapshot), now);
}

void Dispatcher::Impl::RestoreAll(Snapshot snapshot, Now now) {
  auto tasks =
      GroupBy(std::move(snapshot.tasks), [](const TaskRecord& task) { return task.job_id; });
  auto attempts =
      GroupBy(std::move(snapshot.attempts), [](const Attempt& attempt) { return attempt.task_id; });
  for (Job& job : snapshot.jobs) {
    std::vector<TaskRecord> own_tasks = std::move(tasks[job.id]);
    std::vector<Attempt> own_attempts;
    for (const TaskRecord& task : own_tasks) {
      std::ranges::move(attempts[task.id], std::back_inserter(own_attempts));
    }
    std::ranges::sort(own_attempts, {}, &Attempt::fence);
    JobEntry& entry = jobs_.Add(std::move(job), std::move(own_tasks), std::move(own_attempts));
    const auto shown = snapshot.shown_percents.find(entry.job.id);
    if (shown != snapshot.shown_percents.end()) {
      entry.progress.percent = std::clamp(shown->second, 0, 99);
    }
    Restore(entry, now);
  }
}

void Dispatcher::Impl::Restore(JobEntry& entry, Now now) {
  for (TaskEntry& task : entry.tasks) {
    switch (task.record.state) {
      case TaskState::kQueued:
        Enqueue(task);
        break;
      case TaskState::kRetryWait: {
        // The wall clock may have been stepped while the broker was away.
        const auto wait = task.record.due_at.value_or(now.wall) - now.wall;
        jobs_.SetDeadline(task,
                          now.monotonic + std::clamp<std::chrono::microseconds>(
                                              wait, std::chrono::microseconds(0), retry_.cap()));
        break;
      }
      case TaskState::kLeased:
      case TaskState::kCancelling:
        // It had acknowledged before the restart, or never got it: then the grace period ends it.
        task.lease = Lease{.instance = "", .acknowledged = true};
        jobs_.SetDeadline(task, now.monotonic + options_.lease);
        break;
      case TaskState::kDone:
      case TaskState::kFailed:
      case TaskState::kCancelled:
        break;  // Resume() takes up what is to be done
    }
  }
}

Outcome Dispatcher::Impl::Conclude(Draft& draft) {
  FollowBreakers(draft.now());
  FillSlots(draft);
  FillProbeSlots(draft);
  return draft.Finish();
}

void Dispatcher::Impl::FillSlots(Draft& draft) {
  if (draining_) return;
  while (!queue_.empty() && workers_.HasFreeSlot()) {
    TaskQueue::Lane chosen;
    TaskEntry* task = queue_.First([&](const TaskQueue::Lane& lane) {
      if (!workers_.CanTake(lane)) return false;
      chosen = lane;
      return true;
    });
    if (task == nullptr) return;
    LeaseTo(draft, *task, *workers_.Pick(chosen, task->record.last_worker));
  }
}

Outcome Dispatcher::Impl::Resume(Now now) {
  Draft draft(now, jobs_, last_sequence_);
  jobs_.ForEach([&](JobEntry& entry) {
    for (TaskEntry& task : entry.tasks) {
      if (task.record.state == TaskState::kDone) {
        BeginPublish(draft, task, ManifestFromJson(task.record.manifest));
      } else if (task.record.state == TaskState::kFailed) {
        BeginBury(draft, task);
      }
    }
  });
  ResumeRedrives(draft);
  return Conclude(draft);
}

Outcome Dispatcher::Impl::OnPublished(const std::string& task_id, Fence fence, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  TaskEntry* task = jobs_.FindTask(task_id);
  if (task == nullptr || task->record.fence != fence || task->record.state != TaskState::kDone) {
    return draft.Finish();
  }
  Manifest manifest = ManifestFromJson(task->record.manifest);
  JobEntry& entry = *task->job;
  entry.job.files = std::move(manifest.files);
  entry.job.warnings = std::move(manifest.warnings);
  entry.job.published_fence = fence;
  Advance(draft, entry, JobEvent::kPublished);
  EndJob(draft, entry);
  return Conclude(draft);
}

Outcome Dispatcher::Impl::OnPublishFailed(const std::string& task_id, Fence fence,
                                          const Error& error, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  TaskEntry* task = jobs_.FindTask(task_id);
  if (task == nullptr || task->record.fence != fence || task->record.state != TaskState::kDone) {
    return draft.Finish();
  }
  // Storage that fails may work again, and then the encode need not be repeated. Anything else
  // means that there is nothing to publish.
  if (error.traits().blame == Blame::kStorage) {
    TryEffectLater(*task, now);
  } else {
    RedoTask(draft, *task, error);
  }
  return Conclude(draft);
}

Outcome Dispatcher::Impl::OnBuried(const std::string& job_id, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  JobEntry* entry = jobs_.Find(job_id);
  if (entry == nullptr) return draft.Finish();
  const auto failed = std::ranges::find(entry->tasks, TaskState::kFailed,
                                        [](const TaskEntry& task) { return task.record.state; });
  if (failed == entry->tasks.end()) return draft.Finish();
  const Error cause = CauseOfDeath(failed->record);
  entry->job.error = ToJson(cause);
  const int64_t sequence = Advance(draft, *entry, JobEvent::kBury);
  OpenLetter(draft, *entry, cause, sequence);
  EndJob(draft, *entry);
  return Conclude(draft);
}

Outcome Dispatcher::Impl::OnBuryFailed(const std::string& job_id, const Error&, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  if (JobEntry* entry = jobs_.Find(job_id)) {
    for (TaskEntry& task : entry->tasks) {
      if (task.record.state == TaskState::kFailed) TryEffectLater(task, now);
    }
  }
  return draft.Finish();
}

Outcome Dispatcher::Impl::OnTick(Now now) {
  Draft draft(now, jobs_, last_sequence_);
  for (RegisteredWorker* lost : workers_.LostBy(now.monotonic, Patience())) {
    Forget(draft, *lost, "lost",
           "worker " + lost->name +
               (lost->IsLostBy(now.monotonic, {.silence = options_.lease})
                    ? " has been silent for its lease"
                    : " has closed its connection and not come back"));
  }
  for (TaskEntry* task : jobs_.Due(now.monotonic)) OnDeadline(draft, *task);
  NoteSpike(draft, spike_.OnPauseOver(now.monotonic));
  for (const PendingProbe& probe : probes_.TakeExpired(now.monotonic)) {
    if (RegisteredWorker* worker = workers_.FindInstance(probe.instance)) --worker->probes;
    EndProbe(draft, probe,
             Error(ErrorCode::kDeadlineExceeded, "the probe was not answered in time"));
  }
  return Conclude(draft);
}

void Dispatcher::Impl::OnDeadline(Draft& draft, TaskEntry& task) {
  switch (task.record.state) {
    case TaskState::kLeased:
    case TaskState::kCancelling:
      LoseTask(draft, task,
               Error(ErrorCode::kLeaseLost,
                     "worker " + task.record.last_worker + " did not renew its lease"),
               "lost");
      break;
    case TaskState::kRetryWait:
      if (HoldBack(draft, task)) break;
      jobs_.SetDeadline(task, std::nullopt);
      task.record.due_at.reset();
      Advance(draft, task, TaskEvent::kDue);
      Advance(draft, *task.job, JobEvent::kDue);
      Enqueue(task);
      break;
    case TaskState::kDone:
      BeginPublish(draft, task, ManifestFromJson(task.record.manifest));
      break;
    case TaskState::kFailed:
      BeginBury(draft, task);
      break;
    case TaskState::kQueued:
    case TaskState::kCancelled:
      jobs_.SetDeadline(task, std::nullopt);
      break;
  }
}

Outcome Dispatcher::Impl::OnWorkerGone(const std::string& peer, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  RegisteredWorker* worker = workers_.FindInstance(peer);
  if (worker != nullptr && !worker->gone_since) worker->gone_since = now.monotonic;
  return Conclude(draft);
}

std::optional<MonotonicTime> Dispatcher::Impl::NextDeadline() const {
  std::optional<MonotonicTime> next = jobs_.NextDeadline();
  for (const auto& other : {workers_.NextLoss(Patience()), probes_.NextDeadline(),
                            breakers_.NextChange(), spike_.NextChange()}) {
    if (other && (!next || *other < *next)) next = other;
  }
  return next;
}

Dispatcher::Dispatcher(DispatcherOptions options, Snapshot snapshot, Now now)
    : impl_(std::make_unique<Impl>(std::move(options), std::move(snapshot), now)) {}
Dispatcher::~Dispatcher() = default;

Outcome Dispatcher::Resume(Now now) { return impl_->Resume(now); }
Outcome Dispatcher::OnClient(const std::string& route, const Message& message, Now now) {
  return impl_->OnClient(route, message, now);
}
Outcome Dispatcher::OnRedrive(const std::string& route, const Message& message,
                              std::vector<DeadJob> jobs, Now now) {
  return impl_->OnRedrive(route, message, std::move(jobs), now);
}
Outcome Dispatcher::OnPurge(const std::string& route, const Message& message,
                            std::vector<DeadJob> jobs, Now now) {
  return impl_->OnPurge(route, message, std::move(jobs), now);
}
Outcome Dispatcher::OnDeadLoaded(const LoadDead& asked, std::vector<DeadJob> jobs, Now now) {
  return impl_->OnDeadLoaded(asked, std::move(jobs), now);
}
Outcome Dispatcher::OnExpired(std::vector<DeadJob> jobs, Now now) {
  return impl_->OnExpired(std::move(jobs), now);
}
Outcome Dispatcher::OnWorker(const std::string& peer, const Message& message, Now now,
                             Heard heard) {
  return impl_->OnWorker(peer, message, now, heard);
}
Outcome Dispatcher::OnPublished(const std::string& task_id, Fence fence, Now now) {
  return impl_->OnPublished(task_id, fence, now);
}
Outcome Dispatcher::OnPublishFailed(const std::string& task_id, Fence fence, const Error& error,
                                    Now now) {
  return impl_->OnPublishFailed(task_id, fence, error, now);
}
Outcome Dispatcher::OnBuried(const std::string& job_id, Now now) {
  return impl_->OnBuried(job_id, now);
}
Outcome Dispatcher::OnBuryFailed(const std::string& job_id, const Error& error, Now now) {
  return impl_->OnBuryFailed(job_id, error, now);
}
Outcome Dispatcher::OnTick(Now now) { return impl_->OnTick(now); }
Outcome Dispatcher::OnWorkerGone(const std::string& peer, Now now) {
  return impl_->OnWorkerGone(peer, now);
}
std::optional<MonotonicTime> Dispatcher::NextDeadline() const { return impl_->NextDeadline(); }
void Dispatcher::SetDisk(std::optional<int64_t> free_bytes) { impl_->SetDisk(free_bytes); }
void Dispatcher::StartDraining() { impl_->StartDraining(); }
const Job* Dispatcher::Find(const std::string& job_id) const { return impl_->Find(job_id); }
const Job* Dispatcher::FindByKey(const std::string& key) const { return impl_->FindByKey(key); }
bool Dispatcher::OwnsWork(const std::string& task_id, Fence fence) const {
  return impl_->OwnsWork(task_id, fence);
}
LiveJob Dispatcher::Live(const std::string& job_id) const { return impl_->Live(job_id); }
nlohmann::json Dispatcher::QueueView(Now now) const { return impl_->QueueView(now); }
nlohmann::json Dispatcher::WorkersView(Now now) const { return impl_->WorkersView(now); }

}  // namespace millrace::broker
