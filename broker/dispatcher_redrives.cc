#include <algorithm>
#include <set>
#include <utility>

#include "broker/dispatcher_impl.h"
#include "broker/size_prediction.h"
#include "core/id.h"

// Many dead letters that are redriven at once. Behind a canary they wait in the ledger alone: they
// stay dead until it has succeeded, and then until there is room for them in the queue and on the
// disk, as for any job.

namespace millrace {
namespace {

// Of a redrive, so that nobody else waits for long while they are read from the ledger.
constexpr size_t kMostReleasedAtOnce = 500;
constexpr auto kReleasePause = std::chrono::milliseconds(50);
// After a try for which there was no room.
constexpr auto kFullPause = std::chrono::seconds(1);

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
  return {.type = std::string(client::kOk),
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
  const size_t first = asked.canary ? 1 : open.size();
  int64_t bytes = 0;
  for (size_t i = 0; i < first; ++i) bytes += PredictOutputBytes(open[i].job);
  if (auto refusal = RefusalOf(first, bytes, draft.now().monotonic)) {
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
      ++at;  // ReleaseRedrives() goes on with it
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

void Dispatcher::Impl::ReleaseRedrives(Draft& draft) {
  const MonotonicTime now = draft.now().monotonic;
  for (const auto& [id, redrive] : redrives_) {
    if (now < next_release_ || !IsReleasing(redrive)) continue;
    if (RefusalOf(1, 0, now)) {
      next_release_ = now + kFullPause;
      return;
    }
    loading_.insert(id);
    const size_t room = options_.max_queued - WaitingCount();
    const size_t count = std::min({redrive.waiting.size(), room, kMostReleasedAtOnce});
    const auto last = redrive.waiting.begin() + static_cast<ptrdiff_t>(count);
    draft.Add(LoadDead{.redrive_id = id, .job_ids = {redrive.waiting.begin(), last}});
  }
}

bool Dispatcher::Impl::IsReleasing(const RedriveRecord& redrive) const {
  // One whose canary has ended otherwise was stopped in the same commit.
  const JobEntry* canary = jobs_.Find(redrive.canary);
  const bool ended = canary == nullptr || IsTerminal(canary->job.state);
  return ended && !loading_.contains(redrive.id);
}

Outcome Dispatcher::Impl::OnDeadLoaded(const LoadDead& asked, std::vector<DeadJob> jobs, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  loading_.erase(asked.redrive_id);
  const auto found = redrives_.find(asked.redrive_id);
  if (found == redrives_.end()) return draft.Finish();
  RedriveRecord& redrive = found->second;
  std::set<std::string> settled(asked.job_ids.begin(), asked.job_ids.end());
  next_release_ = now.monotonic + kReleasePause;
  for (DeadJob& dead : Open(std::move(jobs))) {
    if (!RefusalOf(1, PredictOutputBytes(dead.job), now.monotonic)) {
      RedriveReleased(draft, std::move(dead), redrive);
      continue;
    }
    settled.erase(dead.job.id);
    next_release_ = now.monotonic + kFullPause;
  }
  const size_t gone =
      std::erase_if(redrive.waiting, [&](const std::string& id) { return settled.contains(id); });
  if (!redrive.waiting.empty()) {
    if (gone > 0) draft.Put(redrive);
    return Conclude(draft);
  }
  redrive.state = RedriveRecord::State::kReleased;
  draft.Put(std::move(redrive));
  redrives_.erase(found);
  return Conclude(draft);
}

void Dispatcher::Impl::RedriveReleased(Draft& draft, DeadJob dead, const RedriveRecord& redrive) {
  const std::string job_id = dead.job.id;
  try {
    Redrive(draft, std::move(dead), redrive.patch);
  } catch (const Error& error) {
    // Its spec has changed since the patch was checked.
    draft.Add(Warn{.text = "job not redriven, the patch does not fit it any more",
                   .fields = {{"redrive", redrive.id}, {"job", job_id}, {"error", ToJson(error)}}});
  }
}

}  // namespace millrace
