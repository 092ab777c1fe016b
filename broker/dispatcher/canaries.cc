#include "broker/dispatcher/canaries.h"

#include <utility>

namespace millrace::broker {

void Canaries::Resume(Draft& draft) {
  for (const auto& [id, redrive] : state_.redrives) {
    if (state_.jobs.Find(redrive.canary) != nullptr) continue;
    // It has succeeded: any other end would have stopped the redrive in the same commit.
    draft.Add(LoadDead{.redrive_id = id, .job_ids = redrive.waiting});
  }
}

void Canaries::OnEnded(Draft& draft, const JobEntry& entry) {
  for (auto at = state_.redrives.begin(); at != state_.redrives.end();) {
    RedriveRecord& redrive = at->second;
    if (redrive.canary != entry.job.id || redrive.canary_generation != entry.job.generation) {
      ++at;
      continue;
    }
    if (entry.job.state == JobState::kSucceeded) {
      draft.Add(LoadDead{.redrive_id = redrive.id, .job_ids = redrive.waiting});
      ++at;
      continue;
    }
    redrive.state = RedriveRecord::State::kStopped;
    draft.Add(Warn{.text = "redrive stopped, its canary did not succeed",
                   .fields = {{"redrive", redrive.id},
                              {"canary", redrive.canary},
                              {"state", NameOf(entry.job.state)},
                              {"waiting", redrive.waiting.size()}}});
    draft.Put(std::move(redrive));
    at = state_.redrives.erase(at);
  }
}

void Canaries::Leave(Draft& draft, const std::string& job_id) {
  for (auto& [id, redrive] : state_.redrives) {
    if (std::erase(redrive.waiting, job_id) > 0) draft.Put(redrive);
  }
}

std::optional<RedriveRecord> Canaries::Take(const std::string& redrive_id) {
  const auto found = state_.redrives.find(redrive_id);
  if (found == state_.redrives.end()) return std::nullopt;
  RedriveRecord redrive = std::move(found->second);
  state_.redrives.erase(found);
  return redrive;
}

}  // namespace millrace::broker
