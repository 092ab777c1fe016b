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

#include "broker/records.h"
#include "core/clock.h"
#include "core/job.h"
#include "core/media_store.h"
#include "core/message.h"
#include "core/task.h"

namespace millrace {

struct DispatcherOptions {
  std::chrono::milliseconds lease{15'000};
  std::chrono::milliseconds beat{5'000};
  std::chrono::milliseconds retry_base{1'000};   // backoff: full jitter up to base * 2^n ...
  std::chrono::milliseconds retry_cap{600'000};  // ... and at most this
  int max_infrastructure_failures = 20;
  int max_unknown_attempts = 3;
  size_t max_queued = 100'000;  // more is refused with queue_full
  // Returns a number in [0, 1); a test gives a fixed one.
  std::function<double()> random;
};

struct Now {
  MonotonicTime monotonic;
  WallTime wall;
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
// Goes out on the PUB socket.
struct Announce {
  std::string topic;
  nlohmann::json body;
};
using Effect =
    std::variant<SendToWorker, ReplyToClient, PublishOutputs, Bury, DiscardWork, Announce>;

// What follows from one thing that happened. Changes are committed first, all together.
struct Outcome {
  std::vector<LedgerChange> changes;
  std::vector<Effect> effects;
};

// Decides who runs what: `(state, message, now) -> changes and effects`. Knows no socket, database,
// thread or clock. Owned by the broker's loop and used by its thread alone. Holds all jobs that
// have not ended; ended ones are forgotten once their last change is handed out.
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
  // Any message of a worker; `peer` is the instance id by which SendToWorker addresses it.
  Outcome OnWorker(const std::string& peer, const Message& message, Now now);

  // The loop's reports on effects.
  Outcome OnPublished(const std::string& task_id, Fence fence, Now now);
  // The files are gone, or storage failed; `error` says which.
  Outcome OnPublishFailed(const std::string& task_id, Fence fence, const Error& error, Now now);
  Outcome OnBuried(const std::string& job_id, Now now);
  Outcome OnBuryFailed(const std::string& job_id, const Error& error, Now now);

  // Expires leases, ends waits, forgets silent workers. Call it at NextDeadline() or later.
  Outcome OnTick(Now now);
  // The connection of a worker was seen to break.
  Outcome OnWorkerGone(const std::string& peer, Now now);
  // When OnTick has something to do; nullopt: only when something else happens first.
  std::optional<MonotonicTime> NextDeadline() const;

  // No new leases are given and submissions are refused with `draining`.
  void StartDraining();

  // What is in memory of a job; nullptr if it has ended or never was.
  const Job* Find(const std::string& job_id) const;
  LiveJob Live(const std::string& job_id) const;
  // The bodies of the `queue` and `workers` replies.
  nlohmann::json QueueView(Now now) const;
  nlohmann::json WorkersView(Now now) const;

 private:
  class Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace millrace
