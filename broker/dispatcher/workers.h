#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/leases.h"
#include "broker/dispatcher/lifecycle.h"
#include "broker/dispatcher/options.h"
#include "broker/dispatcher/probes.h"
#include "broker/dispatcher/state.h"
#include "core/model/messages/worker.h"

namespace millrace::broker {

// Says whether a message proves that its worker is alive. kLate: it was read after its connection
// had closed, and the worker has not been heard on another one since.
enum class Heard { kNow, kLate };

// The tools of Workers; all must outlive it.
struct WorkersParts {
  const DispatcherOptions& options;
  DispatcherState& state;
  JobAggregator& aggregator;
  Lifecycle& lifecycle;
  Leases& leases;
  Probes& probes;
};

// Keeps track of which workers are there: they register, beat, say goodbye, or fall silent. Passes
// their messages about leases and probes on. Owned by the dispatcher.
class Workers {
 public:
  explicit Workers(WorkersParts parts) : parts_(parts), state_(parts.state) {}

  // Takes any message of a worker.
  void OnMessage(Draft& draft, const std::string& instance, Message message, Heard heard);
  // Gives the worker nothing until it is heard again. Idempotent until then.
  void OnConnectionClosed(Draft& draft, const std::string& instance);
  // Forgets the workers that have been silent too long.
  void OnTick(Draft& draft);
  // Returns when OnTick has something to do.
  std::optional<MonotonicTime> NextLoss() const { return state_.workers.NextLoss(Patience()); }

 private:
  PatienceWithWorkers Patience() const {
    return {.silence = parts_.options.lease, .reconnect = parts_.options.reconnect};
  }
  // `known` is the registered worker that sent it; nullptr: it has to register first.
  void Handle(Draft& draft, const ReplyTo& from, RegisteredWorker* known, Message message);
  void OnRegister(Draft& draft, const ReplyTo& from, message::Register said);
  void OnBeat(Draft& draft, const ReplyTo& from, RegisteredWorker& worker, message::Beat beat);
  void OnGoodbye(Draft& draft, const ReplyTo& from);
  RegisteredWorker& Welcome(Draft& draft, RegisteredWorker said,
                            const std::vector<message::HeldLease>& running);
  // Unclaims the leases of an earlier process that its successor says it runs; the successor
  // claims them with Leases::Renew().
  void HandOver(RegisteredWorker& earlier, const std::vector<message::HeldLease>& running);
  // Renews the leases that the worker holds; returns those that it has lost.
  std::vector<message::LeaseName> Renew(Draft& draft, RegisteredWorker& worker,
                                        std::vector<message::HeldLease> running);
  void RepeatCancels(Draft& draft, const RegisteredWorker& worker);
  // Requeues what the worker holds; `event` tells on the event socket why it is gone.
  void Forget(Draft& draft, RegisteredWorker& worker, std::string_view event,
              const std::string& detail);

  const WorkersParts parts_;
  DispatcherState& state_;
};

}  // namespace millrace::broker
