#include <algorithm>
#include <utility>

#include "broker/dispatcher/impl.h"
#include "broker/dispatcher/size_prediction.h"
#include "core/base/id.h"

// Many dead letters that are redriven at once. Behind a canary they wait in the ledger alone: they
// stay dead until it has succeeded.

namespace millrace::broker {
namespace {

struct RedriveMany {
  std::string redrive_id;
  bool canary = false;
  bool dry_run = false;
  nlohmann::json patch;
};

RedriveMany ReadRedriveMany(const Message& message) {
  return ReadBody(message, [](const nlohmann::json& body) {
    RedriveMany asked{.redrive_id = body.at("redrive_id"),
                      .canary = body.at("canary"),
                      .dry_run = body.at("dry_run"),
                      .patch = body.value("patch", nlohmann::json())};
    if (!IsId(asked.redrive_id, "rdr_")) {
      throw Error(ErrorCode::kProtocolError, "not a redrive's id: " + asked.redrive_id);
    }
    return asked;
  });
}

// Throws Error{kInvalidRequest} naming the first job that cannot be patched so.
void CheckPatch(const std::vector<DeadJob>& jobs, const nlohmann::json& patch) {
  if (patch.is_null()) return;
  for (const DeadJob& dead : jobs) PatchSpec(dead.job.request, patch);
}

Message RedriveReply(const Message& message, int64_t count, const nlohmann::json& redrive) {
  return {.type = std::string(message::kOk),
          .id = message.id,
          .body = {{"count", count}, {"redrive", redrive}}};
}

}  // namespace

void Dispatcher::Impl::OnRedriveMany(Draft& draft, const std::string& route, const Message& message,
                                     std::vector<DeadJob> jobs) {
  const RedriveMany asked = ReadRedriveMany(message);
  if (const auto known = redrives_.find(asked.redrive_id); known != redrives_.end()) {
    draft.Reply(route, RedriveReply(message, known->second.count, ToJson(known->second)));
    return;
  }
  std::vector<DeadJob> open = Open(std::move(jobs));
  CheckPatch(open, asked.patch);
  const auto count = static_cast<int64_t>(open.size());
  if (asked.dry_run || open.empty()) {
    draft.Reply(route, RedriveReply(message, count, nullptr));
    return;
  }
  // Also those that will wait for a canary: there is no asking once more when it has succeeded.
  int64_t bytes = 0;
  for (const DeadJob& dead : open) bytes += PredictOutputBytes(dead.job);
  if (auto refusal = RefusalOf(open.size(), bytes, draft.now().monotonic)) {
    Refuse(draft, route, message, *refusal);
    return;
  }
  RedriveRecord record{.id = asked.redrive_id,
                       .state = RedriveRecord::State::kReleased,
                       .created_at = draft.now().wall,
                       .count = count,
                       .canary = "",
                       .canary_generation = 0,
                       .waiting = {},
                       .patch = asked.patch};
  if (asked.canary) {
    record.state = RedriveRecord::State::kWaiting;
    record.canary = open[0].job.id;
    record.canary_generation = open[0].job.generation + 1;
    for (size_t i = 1; i < open.size(); ++i) record.waiting.push_back(open[i].job.id);
    redrives_[record.id] = record;
  }
  const size_t first = asked.canary ? 1 : open.size();
  for (size_t i = 0; i < first; ++i) Redrive(draft, std::move(open[i]), asked.patch);
  draft.Reply(route, RedriveReply(message, count, ToJson(record)));
  draft.Put(std::move(record));
}

void Dispatcher::Impl::OnCanaryEnded(Draft& draft, const JobEntry& entry) {
  for (auto at = redrives_.begin(); at != redrives_.end();) {
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
    at = redrives_.erase(at);
  }
}

void Dispatcher::Impl::LeaveRedrives(Draft& draft, const std::string& job_id) {
  for (auto& [id, redrive] : redrives_) {
    if (std::erase(redrive.waiting, job_id) > 0) draft.Put(redrive);
  }
}

void Dispatcher::Impl::ResumeRedrives(Draft& draft) {
  for (const auto& [id, redrive] : redrives_) {
    // One that had not succeeded would have stopped the redrive in the same commit.
    if (jobs_.Find(redrive.canary) != nullptr) continue;
    draft.Add(LoadDead{.redrive_id = id, .job_ids = redrive.waiting});
  }
}

Outcome Dispatcher::Impl::OnDeadLoaded(const LoadDead& asked, std::vector<DeadJob> jobs, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  const auto found = redrives_.find(asked.redrive_id);
  if (found == redrives_.end()) return draft.Finish();
  RedriveRecord redrive = std::move(found->second);
  redrives_.erase(found);
  for (DeadJob& dead : Open(std::move(jobs))) {
    const std::string job_id = dead.job.id;
    try {
      Redrive(draft, std::move(dead), redrive.patch);
    } catch (const Error& error) {
      // Its spec has changed since the patch was checked.
      draft.Add(
          Warn{.text = "job not redriven, the patch does not fit it any more",
               .fields = {{"redrive", redrive.id}, {"job", job_id}, {"error", ToJson(error)}}});
    }
  }
  redrive.state = RedriveRecord::State::kReleased;
  redrive.waiting.clear();
  draft.Put(std::move(redrive));
  return Conclude(draft);
}

}  // namespace millrace::broker
