#pragma once

#include <vector>

#include "broker/dispatcher/admission.h"
#include "broker/dispatcher/canaries.h"
#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/letters.h"
#include "broker/dispatcher/lifecycle.h"
#include "broker/dispatcher/state.h"
#include "core/model/messages/client.h"

namespace millrace::broker {

// The tools of Redrives; all must outlive it.
struct RedrivesParts {
  DispatcherState& state;
  JobAggregator& aggregator;
  Letters& letters;
  Canaries& canaries;
  Leases& leases;
  Admission& admission;
  Lifecycle& lifecycle;
};

// Has dead jobs run again: one, or many at once, these behind a canary if the client wants one.
// Owned by the dispatcher.
class Redrives {
 public:
  explicit Redrives(RedrivesParts parts) : parts_(parts), state_(parts.state) {}

  void OnRedrive(Draft& draft, const ReplyTo& to, const message::Redrive& asked,
                 std::vector<DeadJob> jobs);
  void OnRedriveMany(Draft& draft, const ReplyTo& to, const message::RedriveMany& asked,
                     std::vector<DeadJob> jobs);
  // Redrives the jobs that waited for a canary, which has succeeded.
  void OnDeadLoaded(Draft& draft, const LoadDead& asked, std::vector<DeadJob> jobs);

 private:
  // Starts the next generation of a job, its spec changed by `patch`; null: as it is. Throws
  // Error{kInvalidRequest} if the patch does not fit. REQUIRES: the job's letter is open.
  JobEntry& Start(Draft& draft, DeadJob dead, const nlohmann::json& patch);
  // The tasks of a new generation: planned anew if its spec was changed so that the plan is another
  // one, else those of the last.
  std::vector<TaskRecord> TasksOf(const DeadJob& dead, bool changed, bool was_poison) const;
  // Says why none of these jobs is redriven now; nullopt: all are.
  std::optional<Error> RefusalOf(const std::vector<DeadJob>& jobs, MonotonicTime now) const;

  const RedrivesParts parts_;
  DispatcherState& state_;
};

}  // namespace millrace::broker
