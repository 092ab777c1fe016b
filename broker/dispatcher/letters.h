#pragma once

#include <cstdint>
#include <vector>

#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/state.h"
#include "core/base/error.h"
#include "core/model/messages/client.h"

namespace millrace::broker {

// The queue of dead letters: how one comes into it, and how it is purged or expires. Redrives has
// the third way out. Owned by the dispatcher.
class Letters {
 public:
  explicit Letters(DispatcherState& state) : state_(state) {}

  // Makes the letter of a job that has just died. `sequence` is that of its event.
  void Open(Draft& draft, const JobEntry& entry, const Error& cause, int64_t sequence);
  // Takes the letter out of the queue, as its job lives again. REQUIRES: it is open.
  void CloseRedriven(Draft& draft, DeadLetterRecord letter, int64_t sequence);

  void OnPurge(Draft& draft, const ReplyTo& to, const message::Purge& purge,
               std::vector<DeadJob> jobs);
  void OnPurgeMany(Draft& draft, const ReplyTo& to, const message::PurgeMany& purge,
                   std::vector<DeadJob> jobs);
  // Closes the open letters among those of `jobs`, which have been kept long enough.
  void OnExpired(Draft& draft, std::vector<DeadJob> jobs);

  // Returns the jobs whose letter is open, and that nobody has redriven.
  std::vector<DeadJob> OpenOf(std::vector<DeadJob> jobs) const;

 private:
  // Takes the letter out of the queue for good and returns its tombstone. REQUIRES: it is open.
  DeadLetterRecord Remove(Draft& draft, const DeadJob& dead, DeadLetterRecord::State state);

  DispatcherState& state_;
};

bool IsOpen(const DeadJob& dead);
// Says why a job whose letter is not open cannot be redriven or purged.
Error NotOpen(const DeadJob& dead);
// Says why a job has no letter at all.
Error NoLetter(const std::string& why);

}  // namespace millrace::broker
