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

namespace millrace::broker {

// Decides who runs what: `(state, message, now) -> changes and effects`. Knows no socket, database,
// thread or clock. Owned by the broker's loop and used by its thread alone.
//
// This is the face of the dispatcher. DispatcherState is its memory: all jobs that have not ended.
// Ended ones are forgotten once their last change is handed out, and come back as DeadJob when
// somebody wants something of them. The collaborators decide; every call has one of them do so and
// then fills the slots that are free.
//
// Every method is total: a message that does not fit the state is answered (lease_lost, an error),
// never thrown. The loop has already checked shapes, so that bodies have the fields of
// docs/protocol.md; a wrong one makes an Error{kProtocolError}, thrown before anything changed.
class Dispatcher {
 public:
  // Takes over where an earlier broker stopped.
  Dispatcher(DispatcherOptions options, Snapshot snapshot, Now now);
  Dispatcher(const Dispatcher&) = delete;
  Dispatcher& operator=(const Dispatcher&) = delete;

  // Takes up what an earlier broker had begun. Call it once, first.
  Outcome Resume(Now now);

  // A client's submit, cancel or probe; the reply goes to `route`.
  Outcome OnClient(const std::string& route, const Message& message, Now now);
  // A client's redrive or redrive_many, with the jobs that it names: the one, or all whose open
  // letters the filter finds, oldest first. They are judged by what the ledger says of them: a
  // redrive of one that cannot be redriven (any more) is answered, among many it is left out. A
  // redrive_many or purge_many whose id the ledger has already is not handed here but answered from
  // there. REQUIRES: earlier decisions have been committed, so that `jobs` is as the dispatcher
  // left it. This holds for each method that takes dead jobs.
  Outcome OnRedrive(const std::string& route, const Message& message, std::vector<DeadJob> jobs,
                    Now now);
  // A client's purge or purge_many, likewise.
  Outcome OnPurge(const std::string& route, const Message& message, std::vector<DeadJob> jobs,
                  Now now);
  // The answer to LoadDead.
  Outcome OnDeadLoaded(const LoadDead& asked, std::vector<DeadJob> jobs, Now now);
  // These letters have been kept for as long as they should be: they leave the queue as `expired`
  // and their folders are removed. Jobs without an open letter are left out.
  Outcome OnExpired(std::vector<DeadJob> jobs, Now now);

  // Any message of a worker; `peer` is the instance id by which SendToWorker addresses it. Last
  // words count for what they say, but a worker that is gone stays so and is given nothing.
  Outcome OnWorker(const std::string& peer, const Message& message, Now now,
                   Heard heard = Heard::kNow);
  // The connection of a worker was seen to close. It is given nothing until it is heard again; if
  // it is not within `reconnect`, it is forgotten, and its tasks are requeued. Idempotent until the
  // worker is heard again.
  Outcome OnWorkerGone(const std::string& peer, Now now);

  // The loop's reports on effects.
  Outcome OnPublished(const std::string& task_id, Fence fence, Now now);
  // The files are gone, or storage failed; `error` says which.
  Outcome OnPublishFailed(const std::string& task_id, Fence fence, const Error& error, Now now);
  Outcome OnBuried(const std::string& job_id, Now now);
  Outcome OnBuryFailed(const std::string& job_id, Now now);

  // Expires leases, ends waits, forgets silent workers. Call it at NextDeadline() or later.
  Outcome OnTick(Now now);
  // When OnTick has something to do; nullopt: only when something else happens first.
  std::optional<MonotonicTime> NextDeadline() const;

  // How much room the media store has now; the loop says so now and then. nullopt: not known.
  void SetDisk(std::optional<int64_t> free_bytes) { state_.free_bytes = free_bytes; }

  // No new leases are given and submissions are refused with `draining`.
  void StartDraining() { state_.draining = true; }

  // Returns a job in memory; nullptr if it has ended or never was.
  const Job* Find(const std::string& job_id) const;
  LiveJob Live(const std::string& job_id) const;
  // The job in memory that was submitted under this idempotency key; nullptr: there is none. A
  // submit under the key of a job in memory goes to OnClient, which answers it.
  const Job* FindByKey(const std::string& key) const;
  // True if a work folder is still needed: by a lease, for publishing, or by a failed attempt whose
  // job has not ended. Any other may be removed.
  bool OwnsWork(const std::string& task_id, Fence fence) const;
  // The bodies of the `queue` and `workers` replies (broker/dispatcher/views.h).
  nlohmann::json QueueView(Now now) const;
  nlohmann::json WorkersView(Now now) const;

 private:
  // Has `decide` decide, then gives out what can be given out.
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
