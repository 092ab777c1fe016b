#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "broker/dispatcher/dispatcher.h"
#include "broker/dispatcher/job_table.h"

namespace millrace::broker {

// Gathers what follows from one thing that happened. A record that changes several times is put
// once, as it is in the end; jobs that have ended leave the table. Lives on the stack of one call
// of the dispatcher.
class Draft {
 public:
  Draft(Now now, JobTable& jobs, int64_t& last_sequence);

  const Now& now() const { return now_; }

  void Insert(JobEntry& entry);
  void Change(JobEntry& entry);
  void Change(TaskEntry& task);
  void Put(const Attempt& attempt);
  // The request of a redriven job is another one.
  void Replace(const JobEntry& entry);
  void Put(DeadLetterRecord letter);
  void Put(RedriveRecord redrive);
  void Put(PurgeRecord purge);
  // Records an event of a job that is already in the state it led to, and announces it. Returns its
  // sequence number.
  int64_t Append(const Job& job, JobEvent event);

  void Send(const std::string& instance, std::string_view type, std::string message_id,
            nlohmann::json body);
  void Reply(const std::string& route, Message message);
  void Announce(std::string_view topic, nlohmann::json body);
  void Add(Effect effect);

  // Call it once, last.
  Outcome Finish();

 private:
  void PutJob(JobEntry& entry, Outcome& outcome);

  const Now now_;
  JobTable& jobs_;
  int64_t& last_sequence_;
  std::vector<JobEntry*> changed_jobs_;
  std::vector<TaskEntry*> changed_tasks_;
  std::vector<Attempt> attempts_;
  std::vector<EventRecord> events_;
  std::vector<LedgerChange> others_;
  std::vector<Effect> effects_;
};

}  // namespace millrace::broker
