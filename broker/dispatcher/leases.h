#pragma once

#include <string>
#include <string_view>

#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/lifecycle.h"
#include "broker/dispatcher/options.h"
#include "broker/dispatcher/state.h"
#include "core/model/messages/worker.h"

namespace millrace::broker {

// Gives tasks to workers and hears what becomes of them. The fence decides whether a message about
// a lease counts, not its sender: a worker that the broker has forgotten may still deliver. Owned
// by the dispatcher.
class Leases {
 public:
  Leases(const DispatcherOptions& options, DispatcherState& state, JobAggregator& aggregator,
         Lifecycle& lifecycle)
      : options_(options), state_(state), aggregator_(aggregator), lifecycle_(lifecycle) {}

  // Leases waiting tasks to free slots, unless the broker is draining.
  void FillSlots(Draft& draft);

  void OnStarted(Draft& draft, const ReplyTo& worker, const message::Started& said);
  void OnFinished(Draft& draft, const ReplyTo& worker, message::Finished said);
  void OnFailed(Draft& draft, const ReplyTo& worker, message::Failed said);
  void OnReleased(Draft& draft, const ReplyTo& worker, const message::Released& said);

  // Returns the task whose current lease this is; nullptr if there is none.
  TaskEntry* FindCurrent(const message::LeaseName& name) const;
  // True if the worker has been told that its part in this attempt is over, or is about to be.
  bool IsSettled(const message::LeaseName& name) const;
  // Renews a lease for the worker that says it runs the task.
  void Renew(Draft& draft, TaskEntry& task, RegisteredWorker& worker);
  // Sends the assignments again that the worker has not acknowledged.
  void RepeatAssigns(Draft& draft, const RegisteredWorker& worker) const;

 private:
  void Give(Draft& draft, TaskEntry& task, RegisteredWorker& worker);
  void SendAssign(Draft& draft, const TaskEntry& task) const;
  // Returns how an attempt that is no longer current ended; empty if that is not known.
  std::string OutcomeOf(const message::LeaseName& name) const;
  // Answers a message about a lease that is not current: `ack` if it repeats what ended the lease.
  void AnswerSettled(Draft& draft, const ReplyTo& worker, const message::LeaseName& name,
                     std::string_view outcome) const;

  const DispatcherOptions& options_;
  DispatcherState& state_;
  JobAggregator& aggregator_;
  Lifecycle& lifecycle_;
};

}  // namespace millrace::broker
