#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "broker/dispatcher/admission.h"
#include "broker/dispatcher/canaries.h"
#include "broker/dispatcher/health.h"
#include "broker/dispatcher/job_aggregator.h"
#include "broker/dispatcher/leases.h"
#include "broker/dispatcher/letters.h"
#include "broker/dispatcher/lifecycle.h"
#include "broker/dispatcher/options.h"
#include "broker/dispatcher/outcome.h"
#include "broker/dispatcher/probes.h"
#include "broker/dispatcher/redrives.h"
#include "broker/dispatcher/retry_policy.h"
#include "broker/dispatcher/state.h"
#include "broker/dispatcher/workers.h"
#include "core/base/clock.h"
#include "core/model/messages/client.h"

namespace millrace::broker {

// Decides who runs what: `(state, message, now) -> changes and effects`. Knows no socket, database,
// thread or clock. Owned by the broker's loop and used by its thread alone.
//
// This is the face of the dispatcher. DispatcherState is its memory: all jobs that have not ended.
// Ended ones are forgotten once their last change is handed out, and come back as DeadJob when
// somebody wants something of them. The collaborators decide; every call has one of them do so and
// then fills the slots that are free.
//
// Every method is total: a message that does not fit the state is answered (lease_lost, an error).
// Only a body that is not as docs/protocol.md says throws, Error{kProtocolError}, before anything
// has changed.
class Dispatcher {
 public:
  // Takes over where an earlier broker stopped.
  Dispatcher(DispatcherOptions options, Snapshot snapshot, Now now);
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Takes up what an earlier broker had begun. Call it once, first.
  Outcome Resume(Now now);

  // Requests of clients; the reply goes to `to`. `ended` is the job that an earlier submission of
  // the same id or idempotency key made, if it has ended: only the ledger has it.
  Outcome OnSubmit(const ReplyTo& to, message::Submit submit, const std::optional<EndedJob>& ended,
                   Now now);
  Outcome OnCancel(const ReplyTo& to, const message::Cancel& cancel, Now now);
  Outcome OnProbe(const ReplyTo& to, message::Probe probe, Now now);

  // Requests about dead jobs, with the jobs that they name: the one, or all whose open letters the
  // filter finds, oldest first. A job that cannot be redriven or purged (any more) is refused with
  // the reason if it is the only one, and left out among many. The loop answers a repeated
  // redrive_many or purge_many from the ledger and does not hand it on.
  //
  // REQUIRES: earlier decisions have been committed, so that `jobs` is as the dispatcher left it.
  // This holds for each method that takes jobs of the ledger.
  Outcome OnDead(const ReplyTo& to, const message::Redrive& redrive, std::vector<DeadJob> jobs,
                 Now now);
  Outcome OnDead(const ReplyTo& to, const message::RedriveMany& redrive, std::vector<DeadJob> jobs,
                 Now now);
  Outcome OnDead(const ReplyTo& to, const message::Purge& purge, std::vector<DeadJob> jobs,
                 Now now);
  Outcome OnDead(const ReplyTo& to, const message::PurgeMany& purge, std::vector<DeadJob> jobs,
                 Now now);
  // The answer to LoadDead.
  Outcome OnDeadLoaded(const LoadDead& asked, std::vector<DeadJob> jobs, Now now);
  // Closes letters that have been kept long enough, as `expired`, and removes their folders. Leaves
  // out jobs without an open letter.
  Outcome OnExpired(std::vector<DeadJob> jobs, Now now);

  // Any message of a worker. A late one (Heard::kLate) counts for what it says, but does not make a
  // worker that is gone available again.
  Outcome OnWorker(const std::string& instance, Message message, Now now,
                   Heard heard = Heard::kNow);
  // The connection of a worker has closed. The worker is given nothing until it is heard again; if
  // that takes longer than `reconnect`, it is forgotten and its tasks are requeued. Idempotent
  // until the worker is heard again.
  Outcome OnWorkerGone(const std::string& instance, Now now);

  // The result of an effect. One that comes too late changes nothing.
  Outcome OnResult(const EffectResult& result, Now now);

  // Expires leases, ends waits, forgets silent workers. Call it at NextDeadline() or later.
  Outcome OnTick(Now now);
  // Returns when to call OnTick next; nullopt: not before something else happens.
  std::optional<MonotonicTime> NextDeadline() const;

  // Tells the room on the media store's disk; nullopt: not known.
  void SetDisk(std::optional<int64_t> free_bytes) { state_.free_bytes = free_bytes; }

  // From now on gives no leases and refuses submissions with `draining`.
  void StartDraining() { state_.draining = true; }

  // Returns a job in memory; nullptr if it has ended or never was.
  const Job* Find(const std::string& job_id) const;
  LiveJob Live(const std::string& job_id) const;
  // The same, of the job that was submitted under this idempotency key.
  const Job* FindByKey(const std::string& key) const;
  // True if a work folder is still needed: by a lease, for publishing, or by a failed attempt whose
  // job has not ended. Any other may be removed.
  bool OwnsWork(const std::string& task_id, Fence fence) const;
  // The bodies of the `queue` and `workers` replies (broker/dispatcher/views.h).
  nlohmann::json QueueView(Now now) const;
  nlohmann::json WorkersView(Now now) const;

 private:
  // Calls `decide` with a draft, then fills the slots that are free.
  template <typename Decide>
  Outcome Decided(Now now, Decide decide);

  const DispatcherOptions options_;
  const RetryPolicy retry_;
  DispatcherState state_;

  // Each uses the ones before it.
  JobAggregator aggregator_;
  Health health_;
  Letters letters_;
  Canaries canaries_;
  Probes probes_;
  Lifecycle lifecycle_;
  Leases leases_;
  Workers workers_;
  Admission admission_;
  Redrives redrives_;
};

}  // namespace millrace::broker
