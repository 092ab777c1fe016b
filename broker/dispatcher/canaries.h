#pragma once

#include <optional>
#include <string>

#include "broker/dispatcher/draft.h"
#include "broker/dispatcher/state.h"

namespace millrace::broker {

// Redrives of many jobs that wait for their canary: one job that goes first. Until it has
// succeeded, the others stay dead and are in the ledger alone. Owned by the dispatcher.
class Canaries {
 public:
  explicit Canaries(DispatcherState& state) : state_(state) {}

  // Asks for the jobs of the redrives whose canary has succeeded before an earlier broker stopped.
  void Resume(Draft& draft);
  // Releases or stops the redrives whose canary this job was. REQUIRES: it has ended.
  void OnEnded(Draft& draft, const JobEntry& entry);
  // Takes the job out of all redrives that wait, as it lives again.
  void Leave(Draft& draft, const std::string& job_id);
  // Takes out a redrive that is to be released; nullopt: there is none of that id.
  std::optional<RedriveRecord> Take(const std::string& redrive_id);

 private:
  DispatcherState& state_;
};

}  // namespace millrace::broker
