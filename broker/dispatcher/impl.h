#pragma once

#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/dispatcher/dispatcher.h"
#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/failure_spike.h"
#include "broker/dispatcher/job_table.h"
#include "broker/dispatcher/poison_memory.h"
#include "broker/dispatcher/probe_table.h"
#include "broker/dispatcher/rate.h"
#include "broker/dispatcher/retry_policy.h"
#include "broker/dispatcher/settled.h"
#include "broker/dispatcher/task_queue.h"
#include "broker/dispatcher/worker_breaker.h"
#include "broker/dispatcher/worker_registry.h"

namespace millrace::broker {

// A lease as messages name it.
struct LeaseName {
  std::string task;
  Fence fence = 0;
};

// What a worker says of one.
struct BeatTask {
  LeaseName name;
  Progress progress;
  nlohmann::json media;  // null if it was not sent
};

// Reads a message's body; what is missing or wrong in it makes an Error{kProtocolError}.
template <typename Read>
auto ReadBody(const Message& message, Read read) {
  try {
    return read(message.body);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kProtocolError, message.type + ": " + error.what());
  }
}

// The dispatcher's inside, in several files:
//   dispatcher.cc            starting, ticking, draining
//   dispatcher_admission.cc  which jobs are taken
//   dispatcher_clients.cc    what else clients ask for
//   dispatcher_letters.cc    dead letters that are redriven, purged or expire
//   dispatcher_redrives.cc   many of them at once, and canaries
//   dispatcher_workers.cc    what workers say of themselves
//   dispatcher_leases.cc     what they say of their leases
//   dispatcher_lifecycle.cc  what happens to tasks and jobs
//   dispatcher_health.cc     whose fault it is when much fails
//   dispatcher_views.cc      what it looks like from outside
// Each handler reads the whole message first, so that a wrong one changes nothing.
class Dispatcher::Impl {
 public:
  Impl(DispatcherOptions options, Snapshot snapshot, Now now);

  Outcome Resume(Now now);
  Outcome OnClient(const std::string& route, const Message& message, Now now);
  Outcome OnRedrive(const std::string& route, const Message& message, std::vector<DeadJob> jobs,
                    Now now);
  Outcome OnPurge(const std::string& route, const Message& message, std::vector<DeadJob> jobs,
                  Now now);
  Outcome OnDeadLoaded(const LoadDead& asked, std::vector<DeadJob> jobs, Now now);
  Outcome OnExpired(std::vector<DeadJob> jobs, Now now);
  Outcome OnWorker(const std::string& peer, const Message& message, Now now, Heard heard);
  Outcome OnPublished(const std::string& task_id, Fence fence, Now now);
  Outcome OnPublishFailed(const std::string& task_id, Fence fence, const Error& error, Now now);
  Outcome OnBuried(const std::string& job_id, Now now);
  Outcome OnBuryFailed(const std::string& job_id, const Error& error, Now now);
  Outcome OnTick(Now now);
  Outcome OnWorkerGone(const std::string& peer, Now now);
  std::optional<MonotonicTime> NextDeadline() const;
  void SetDisk(std::optional<int64_t> free_bytes) { free_bytes_ = free_bytes; }
  void StartDraining() { draining_ = true; }

  const Job* Find(const std::string& job_id) const;
  const Job* FindByKey(const std::string& key) const;
  bool OwnsWork(const std::string& task_id, Fence fence) const;
  LiveJob Live(const std::string& job_id) const;
  nlohmann::json QueueView(Now now) const;
  nlohmann::json WorkersView(Now now) const;

 private:
  // dispatcher.cc
  PatienceWithWorkers Patience() const {
    return {.silence = options_.lease, .reconnect = options_.reconnect};
  }
  void Restore(JobEntry& entry, Now now);
  void RestoreAll(Snapshot snapshot, Now now);
  void OnDeadline(Draft& draft, TaskEntry& task);
  // Ends every call: gives out what can be given out.
  Outcome Conclude(Draft& draft);
  void FillSlots(Draft& draft);

  // dispatcher_admission.cc
  void OnSubmit(Draft& draft, const std::string& route, const Message& message);
  // Why `count` more jobs that will write so much are not taken now; nullopt: they are.
  std::optional<Error> RefusalOf(size_t count, int64_t bytes, MonotonicTime now) const;
  // When a client that was refused may find room.
  int SecondsUntilRoom(MonotonicTime now) const;
  // Puts a new job into the queue, or, if its input is known to be poison, on the way to its grave.
  void Admit(Draft& draft, JobEntry& entry);

  // dispatcher_clients.cc
  void OnCancel(Draft& draft, const std::string& route, const Message& message);
  void OnProbe(Draft& draft, const std::string& route, const Message& message);
  void Refuse(Draft& draft, const std::string& route, const Message& message, const Error& error);
  void ReplyJob(Draft& draft, const std::string& route, const Message& message,
                const JobEntry& entry);
  void FillProbeSlots(Draft& draft);
  void EndProbe(Draft& draft, const PendingProbe& probe, const Error& error);

  // dispatcher_letters.cc
  void OnRedriveOne(Draft& draft, const std::string& route, const Message& message,
                    std::vector<DeadJob> jobs);
  void OnPurgeOne(Draft& draft, const std::string& route, const Message& message,
                  std::vector<DeadJob> jobs);
  void OnPurgeMany(Draft& draft, const std::string& route, const Message& message,
                   std::vector<DeadJob> jobs);
  // Those whose letter is open, and that nobody has redriven.
  std::vector<DeadJob> Open(std::vector<DeadJob> jobs) const;
  // Starts the next generation of a job. REQUIRES: its letter is open.
  JobEntry& Redrive(Draft& draft, DeadJob dead, const nlohmann::json& patch);
  // The letter leaves the queue for good. REQUIRES: it is open.
  DeadLetterRecord Close(Draft& draft, DeadJob dead, DeadLetterRecord::State state);
  // Makes the letter of a job that has just died. `sequence` is that of its event.
  void OpenLetter(Draft& draft, const JobEntry& entry, const Error& cause, int64_t sequence);
  void AnnounceLetter(Draft& draft, const DeadLetterRecord& letter, std::string_view event,
                      int64_t sequence);

  // dispatcher_redrives.cc
  void OnRedriveMany(Draft& draft, const std::string& route, const Message& message,
                     std::vector<DeadJob> jobs);
  // Goes on with the redrives whose canary this job was.
  void OnCanaryEnded(Draft& draft, const JobEntry& entry);
  // No redrive waits for this job any more, as it lives again.
  void LeaveRedrives(Draft& draft, const std::string& job_id);
  void ResumeRedrives(Draft& draft);

  // dispatcher_workers.cc
  void OnRegister(Draft& draft, const std::string& peer, const Message& message);
  void OnBeat(Draft& draft, RegisteredWorker& worker, const Message& message);
  void OnProbed(Draft& draft, RegisteredWorker& worker, const Message& message);
  void OnGoodbye(Draft& draft, const std::string& peer, const Message& message);
  RegisteredWorker& Welcome(Draft& draft, RegisteredWorker said,
                            const std::vector<BeatTask>& running);
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

  // dispatcher_health.cc
  // Counts how an attempt ended for and against its worker and the fleet.
  void NoteEnd(Draft& draft, const TaskEntry& task, AttemptEnd end);
  void NoteBreaker(Draft& draft, const std::string& worker, AttemptEnd end, const std::string& job);
  void NoteSpike(Draft& draft, FailureSpike::Change change);
  // The attempt that is to end, or the cancelled task, tells nothing of anybody.
  void NoteGone(Draft& draft, const TaskEntry& task);
  // Has workers held back as their breakers are now.
  void FollowBreakers(Now now);
  // Lets retries that were held back ask again.
  void WakeRetries(MonotonicTime when);
  // Whether a retry that is due has to go on waiting.
  bool HoldBack(Draft& draft, TaskEntry& task);
  // As RetryPolicy::Judge, but while retries pause nothing is given up.
  Verdict Judge(TaskEntry& task, const Error& error, bool is_canary, Now now);

  // dispatcher_lifecycle.cc
  void Advance(Draft& draft, TaskEntry& task, TaskEvent event);
  // Returns the sequence number of the event.
  int64_t Advance(Draft& draft, JobEntry& entry, JobEvent event);
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
  PoisonMemory poison_;
  WorkerBreakers breakers_;
  FailureSpike spike_;
  WallTime retries_paused_until_{};                // as clients see it
  std::map<std::string, RedriveRecord> redrives_;  // that wait for their canary, by id
  std::optional<int64_t> free_bytes_;
  Fence last_fence_ = 0;
  int64_t last_sequence_ = 0;
  bool draining_ = false;
  bool breakers_in_use_ = false;  // one may not be closed
};

}  // namespace millrace::broker
