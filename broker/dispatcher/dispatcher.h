#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "broker/dispatcher/failure_spike.h"
#include "broker/dispatcher/worker_breaker.h"
#include "broker/ledger/records.h"
#include "core/base/clock.h"
#include "core/base/random.h"
#include "core/media/media_store.h"
#include "core/model/job.h"
#include "core/model/message.h"
#include "core/model/task.h"

namespace millrace::broker {

struct DispatcherOptions {
  std::chrono::milliseconds lease{15'000};
  std::chrono::milliseconds beat{5'000};
  // How long a worker whose connection closed may take to be heard on another. A living one tries
  // again after 50 to 100 ms, and a few times more within this.
  std::chrono::milliseconds reconnect{700};
  std::chrono::milliseconds retry_base{1'000};   // backoff: full jitter up to base * 2^n ...
  std::chrono::milliseconds retry_cap{600'000};  // ... and at most this
  int max_infrastructure_failures = 20;
  int max_unknown_attempts = 3;
  size_t max_queued = 100'000;  // more is refused with queue_full
  // Submissions are refused with storage_full while the disk of the media store, less what the jobs
  // in memory will probably write, has less than this; 0: never.
  int64_t min_free_bytes = int64_t{1} << 30;
  BreakerLimits breaker;  // of one worker
  SpikeLimits spike;      // of the fleet
  // Returns a number in [0, 1); a test gives a fixed one.
  std::function<double()> random = RandomFraction;
};

// Whether a worker's message tells that it is there. kLate: it was read after the connection that
// had brought it was seen to close, and its worker has not been heard on another since.
enum class Heard { kNow, kLate };

struct Now {
  MonotonicTime monotonic;
  WallTime wall;
};

// A job that has ended, with what the ledger has of it and of its newest dead letter.
struct DeadJob {
  Job job;
  std::vector<TaskRecord> tasks;
  DeadLetterRecord letter;
  int last_attempt = 0;  // its number, in the job's generation; 0: none was made
};

// Effects: what the loop does after the changes have been committed, in order.
struct SendToWorker {
  std::string instance;
  Message message;
};
struct ReplyToClient {
  std::string route;  // the loop's own name for the client and its request, given with the command
  Message message;
};
// The loop answers with Published or PublishFailed.
struct PublishOutputs {
  std::string task_id;
  std::string job_id;
  Fence fence = 0;
  Manifest manifest;
};
// The loop writes the folder and answers with Buried or BuryFailed.
struct Bury {
  DeadLetter letter;
};
struct DiscardWork {
  std::string task_id;
  Fence fence = 0;
};
// Removes the dead-letter folder of a job whose letter has left the queue for good.
struct RemoveDeadLetter {
  std::string job_id;
};
// The loop reads these jobs from the ledger and answers with DeadLoaded; those that are not there
// any more are left out.
struct LoadDead {
  std::string redrive_id;
  std::vector<std::string> job_ids;
};
// Goes out on the PUB socket.
struct Announce {
  std::string topic;
  nlohmann::json body;
};
// Goes into the log, as a warning.
struct Warn {
  std::string text;
  nlohmann::json fields;
};
using Effect = std::variant<SendToWorker, ReplyToClient, PublishOutputs, Bury, DiscardWork,
                            RemoveDeadLetter, LoadDead, Announce, Warn>;

// What follows from one thing that happened. Changes are committed first, all together.
struct Outcome {
  std::vector<LedgerChange> changes;
  std::vector<Effect> effects;
};

// Decides who runs what: `(state, message, now) -> changes and effects`. Knows no socket, database,
// thread or clock. Owned by the broker's loop and used by its thread alone. Holds all jobs that
// have not ended; ended ones are forgotten once their last change is handed out, and come back as
// DeadJob when somebody wants something of them.
//
// Every method is total: a message that does not fit the state is answered (lease_lost, an error),
// never thrown. The loop has already checked shapes, so that bodies have the fields of
// docs/protocol.md; a wrong one makes an Error{kProtocolError}, thrown before anything changed.
class Dispatcher {
 public:
  // Takes over where an earlier broker stopped: leases get one grace period, interrupted publishing
  // and burying are taken up again by Resume().
  Dispatcher(DispatcherOptions options, Snapshot snapshot, Now now);
  ~Dispatcher();

  // Call it once, first: what an interrupted predecessor had begun.
  Outcome Resume(Now now);

  // A client's submit, cancel or probe; the reply goes to `route`.
  Outcome OnClient(const std::string& route, const Message& message, Now now);
  // A client's redrive or redrive_many, with the jobs that it names: the one, or all whose open
  // letters the filter finds, oldest first. They are judged by what the ledger says of them: a
  // redrive of one that cannot be redriven (any more) is answered, among many it is left out. A
  // redrive_many or purge_many whose id the ledger has already is not handed here but answered from
  // there. REQUIRES: what was decided before has been committed, so that `jobs` is as the
  // dispatcher left it. This holds for each method that takes dead jobs.
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

  // The loop's reports on effects.
  Outcome OnPublished(const std::string& task_id, Fence fence, Now now);
  // The files are gone, or storage failed; `error` says which.
  Outcome OnPublishFailed(const std::string& task_id, Fence fence, const Error& error, Now now);
  Outcome OnBuried(const std::string& job_id, Now now);
  Outcome OnBuryFailed(const std::string& job_id, const Error& error, Now now);

  // Expires leases, ends waits, forgets silent workers. Call it at NextDeadline() or later.
  Outcome OnTick(Now now);
  // The connection of a worker was seen to close. It is given nothing until it is heard again; if
  // it is not within `reconnect`, it is forgotten, and what it held is requeued. Saying so again of
  // one that has not been heard since changes nothing.
  Outcome OnWorkerGone(const std::string& peer, Now now);
  // When OnTick has something to do; nullopt: only when something else happens first.
  std::optional<MonotonicTime> NextDeadline() const;

  // How much room the media store has now; the loop says so now and then. nullopt: not known.
  void SetDisk(std::optional<int64_t> free_bytes);

  // No new leases are given and submissions are refused with `draining`.
  void StartDraining();

  // What is in memory of a job; nullptr if it has ended or never was.
  const Job* Find(const std::string& job_id) const;
  LiveJob Live(const std::string& job_id) const;
  // The job in memory that was submitted under this idempotency key; nullptr: there is none. A
  // submit under the key of a job in memory goes to OnClient, which answers it.
  const Job* FindByKey(const std::string& key) const;
  // Whether a work folder is still needed: by a lease, for publishing, or by a failed attempt whose
  // job has not ended. Any other may be removed.
  bool OwnsWork(const std::string& task_id, Fence fence) const;
  // The bodies of the `queue` and `workers` replies; the former without what only the ledger and
  // the janitor know (`dead_letters`, `janitor`).
  nlohmann::json QueueView(Now now) const;
  nlohmann::json WorkersView(Now now) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace::broker
