#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "broker/dispatcher/outcome.h"
#include "broker/dispatcher/state.h"
#include "core/model/messages/body.h"

namespace millrace::broker {

// Collects the changes and effects of one call of the dispatcher, on whose stack it lives. A record
// that changes several times is put once, in its last form; jobs that have ended leave memory.
class Draft {
 public:
  Draft(Now now, DispatcherState& state) : now_(now), state_(state) {}

  const Now& now() const { return now_; }

  void Insert(JobEntry& entry);
  void Change(JobEntry& entry);
  void Change(TaskEntry& task);
  void Put(const Attempt& attempt);
  // Records the changed request of a redriven job.
  void Replace(const JobEntry& entry);
  void Put(DeadLetterRecord letter);
  void Put(RedriveRecord redrive);
  void Put(PurgeRecord purge);

  // Each moves along one legal transition. An illegal one is a mistake in the dispatcher and leaves
  // memory half changed: std::logic_error, on which the loop starts anew from the ledger.
  void Advance(TaskEntry& task, TaskEvent event);
  // Returns the sequence number of the event.
  int64_t Advance(JobEntry& entry, JobEvent event);
  // Records and announces an event of a job that is already in the state that the event led to.
  // Returns its sequence number.
  int64_t Append(const Job& job, JobEvent event);

  // Sends a body of core/model/messages/worker_orders.h; the id of the message is empty unless it
  // answers one.
  template <message::WholeBody T>
  void Send(const std::string& instance, const T& body, std::string message_id = "") {
    Add(SendToWorker{.instance = instance, .message = message::Write(body, std::move(message_id))});
  }
  template <message::WholeBody T>
  void Answer(const ReplyTo& worker, const T& body) {
    Send(worker.route, body, worker.request_id);
  }
  // Replies with a body of core/model/messages/client_replies.h.
  template <message::WholeBody T>
  void Reply(const ReplyTo& client, const T& body) {
    Add(ReplyToClient{.route = client.route, .message = message::Write(body, client.request_id)});
  }
  void Refuse(const ReplyTo& client, const Error& error);
  void Announce(Event event);
  void AnnounceWorker(const std::string& name, std::string_view event);
  void Add(Effect effect);

  // Call it once, last.
  Outcome Finish();

 private:
  void PutJob(JobEntry& entry, Outcome& outcome);

  const Now now_;
  DispatcherState& state_;
  std::vector<JobEntry*> changed_jobs_;
  std::vector<TaskEntry*> changed_tasks_;
  std::vector<Attempt> attempts_;
  std::vector<EventRecord> events_;
  std::vector<LedgerChange> others_;
  std::vector<Effect> effects_;
};

}  // namespace millrace::broker
