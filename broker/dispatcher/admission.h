#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/leases.h"
#include "broker/dispatcher/lifecycle.h"
#include "broker/dispatcher/options.h"
#include "broker/dispatcher/state.h"
#include "core/model/messages/client.h"

namespace millrace::broker {

// The tools of Admission; all must outlive it.
struct AdmissionParts {
  const DispatcherOptions& options;
  DispatcherState& state;
  JobAggregator& aggregator;
  Lifecycle& lifecycle;
  Leases& leases;
};

// Takes jobs in or refuses them, and cancels those that were taken in. Owned by the dispatcher.
class Admission {
 public:
  explicit Admission(AdmissionParts parts) : parts_(parts), state_(parts.state) {}

  // Makes a job, or answers with the one that an earlier submission of the same id or idempotency
  // key has made. `ended`: that job, if it has ended and only the ledger has it.
  void OnSubmit(Draft& draft, const ReplyTo& to, message::Submit submit,
                const std::optional<EndedJob>& ended);
  void OnCancel(Draft& draft, const ReplyTo& to, const message::Cancel& cancel);

  // Returns why `count` more jobs with outputs of `bytes` are not taken now; nullopt: they are.
  std::optional<Error> RefusalOf(size_t count, int64_t bytes, MonotonicTime now) const;
  // Plans a job for the workers that there are.
  std::vector<TaskRecord> Plan(const Job& job) const;

 private:
  // Answers a submission that repeats an earlier one. Returns false if it is a new one.
  bool Repeat(Draft& draft, const ReplyTo& to, const message::Submit& submit,
              const std::optional<EndedJob>& ended) const;
  void Admit(Draft& draft, const ReplyTo& to, Job job);
  // Buries a new job whose input is known to have crashed the encoders of `victim`, a job.
  void BuryPoison(Draft& draft, JobEntry& entry, const std::string& victim);
  std::string VictimOfSameInput(const Job& job) const;
  // Estimates when a client that was refused may find room.
  int SecondsUntilRoom(MonotonicTime now) const;

  const AdmissionParts parts_;
  DispatcherState& state_;
};

}  // namespace millrace::broker
