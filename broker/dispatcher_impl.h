#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/dispatcher.h"
#include "broker/dispatcher_draft.h"
#include "broker/dispatcher_rate.h"
#include "broker/dispatcher_settled.h"
#include "broker/job_table.h"
#include "broker/probe_table.h"
#include "broker/retry_policy.h"
#include "broker/task_queue.h"
#include "broker/worker_registry.h"

namespace millrace {

// A lease as messages name it.
struct LeaseName {
  std::string task;
  Fence fence = 0;
};

// The dispatcher's inside, in several files:
//   dispatcher.cc            starting, ticking, draining
//   dispatcher_clients.cc    what clients ask for
//   dispatcher_workers.cc    what workers say of themselves
//   dispatcher_leases.cc     what they say of their leases
//   dispatcher_lifecycle.cc  what happens to tasks and jobs
//   dispatcher_views.cc      what it looks like from outside
// Each handler reads the whole message first, so that a wrong one changes nothing.
class Dispatcher::Impl {
 public:
  Impl(DispatcherOptions options, Snapshot snapshot, Now now);

  Outcome Resume(Now now);
  Outcome OnClient(const std::string& route, const Message& message, Now now);
  Outcome OnWorker(const std::string& peer, const Message& message, Now now);
  Outcome OnPublished(const std::string& task_id, Fence fence, Now now);
  Outcome OnPublishFailed(const std::string& task_id, Fence fence, const Error& error, Now now);
  Outcome OnBuried(const std::string& job_id, Now now);
  Outcome OnBuryFailed(const std::string& job_id, const Error& error, Now now);
  Outcome OnTick(Now now);
  Outcome OnWorkerGone(const std::string& peer, Now now);
  std::optional<MonotonicTime> NextDeadline() const;
  void StartDraining() { draining_ = true; }

  const Job* Find(const std::string& job_id) const;
  LiveJob Live(const std::string& job_id) const;
  nlohmann::json QueueView(Now now) const;
  nlohmann::json WorkersView(Now now) const;

 private:
  // dispatcher.cc
  void Restore(JobEntry& entry, Now now);
  void OnDeadline(Draft& draft, TaskEntry& task);
  // Ends every call: gives out what can be given out.
  Outcome Conclude(Draft& draft);
  void FillSlots(Draft& draft);

  // dispatcher_clients.cc
  void OnSubmit(Draft& draft, const std::string& route, const Message& message);
  void OnCancel(Draft& draft, const std::string& route, const Message& message);
  void OnProbe(Draft& draft, const std::string& route, const Message& message);
  void Refuse(Draft& draft, const std::string& route, const Message& message, const Error& error);
  void ReplyJob(Draft& draft, const std::string& route, const Message& message,
                const JobEntry& entry);
  void FillProbeSlots(Draft& draft);
  void EndProbe(Draft& draft, const PendingProbe& probe, const Error& error);

  // dispatcher_workers.cc
  void OnRegister(Draft& draft, const std::string& peer, const Message& message);
  void OnBeat(Draft& draft, RegisteredWorker& worker, const Message& message);
  void OnProbed(Draft& draft, RegisteredWorker& worker, const Message& message);
  void OnGoodbye(Draft& draft, const std::string& peer, const Message& message);
  RegisteredWorker& Welcome(Draft& draft, RegisteredWorker said,
                            const std::vector<LeaseName>& running);
  void Adopt(Draft& draft, TaskEntry& task, RegisteredWorker& worker);
  void ShowProgress(Draft& draft, TaskEntry& task, Progress progress);
  void SendAssign(Draft& draft, const TaskEntry& task);
  void RepeatAssigns(Draft& draft, const RegisteredWorker& worker);
  // The worker is no longer there; `event` says why on the event socket.
  void Forget(Draft& draft, RegisteredWorker& worker, std::string_view event,
              const std::string& detail);
  void AnnounceWorker(Draft& draft, const std::string& name, std::string_view event);

  // dispatcher_leases.cc
  void OnStarted(Draft& draft, const std::string& peer, const Message& message);
  void OnFinished(Draft& draft, const std::string& peer, const Message& message);
  void OnFailed(Draft& draft, const std::string& peer, const Message& message);
  void OnReleased(Draft& draft, const std::string& peer, const Message& message);
  // The task whose current lease this is; nullptr if there is none.
  TaskEntry* FindCurrent(const LeaseName& name) const;
  // How an attempt that is no longer current ended; empty if that is not known.
  std::string OutcomeOf(const LeaseName& name) const;
  // Whether the worker has been told, or is about to be, that its part in this attempt is over.
  bool IsSettled(const LeaseName& name) const;
  // Answers a message about a lease that is not current: `ack` if it repeats what ended it.
  void AnswerSettled(Draft& draft, const std::string& peer, const Message& message,
                     const LeaseName& name, std::string_view outcome);

  // dispatcher_lifecycle.cc
  void Advance(Draft& draft, TaskEntry& task, TaskEvent event);
  void Advance(Draft& draft, JobEntry& entry, JobEvent event);
  void Enqueue(TaskEntry& task);
  void LeaseTo(Draft& draft, TaskEntry& task, RegisteredWorker& worker);
  // Closes the current attempt and lets go of its lease.
  void EndAttempt(Draft& draft, TaskEntry& task, std::string_view outcome);
  void FinishTask(Draft& draft, TaskEntry& task, nlohmann::json manifest, Manifest parsed);
  void FailTask(Draft& draft, TaskEntry& task, nlohmann::json failure, std::string_view outcome);
  // The worker let go of a lease without blame on the task, or was lost with it.
  void LoseTask(Draft& draft, TaskEntry& task, const Error& error, std::string_view outcome);
  void StopTask(Draft& draft, TaskEntry& task, std::string_view outcome);
  void CancelJob(Draft& draft, JobEntry& entry);
  void BeginPublish(Draft& draft, TaskEntry& task, Manifest manifest);
  void RedoTask(Draft& draft, TaskEntry& task, const Error& error);
  void BeginBury(Draft& draft, TaskEntry& task);
  void TryEffectLater(TaskEntry& task, Now now);
  // REQUIRES: the job's state is terminal.
  void EndJob(Draft& draft, JobEntry& entry);
  void Discard(Draft& draft, const std::string& task_id, Fence fence);

  // When a client that was refused for a full queue may find room (dispatcher_clients.cc).
  int SecondsUntilRoom(MonotonicTime now) const;

  // dispatcher_views.cc
  LiveJob LiveOf(const JobEntry& entry) const;

  const DispatcherOptions options_;
  const RetryPolicy retry_;
  JobTable jobs_;
  TaskQueue queue_;
  WorkerRegistry workers_;
  ProbeTable probes_;
  SettledAttempts settled_;
  DrainRate drain_rate_;
  Fence last_fence_ = 0;
  int64_t last_sequence_ = 0;
  bool draining_ = false;
};

}  // namespace millrace
