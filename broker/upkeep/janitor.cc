#include "broker/upkeep/janitor.h"

#include <algorithm>
#include <functional>
#include <memory>
#include <utility>

#include "broker/upkeep/dead_jobs.h"
#include "core/base/log.h"

namespace millrace::broker {
namespace {

using std::chrono::hours;
using std::chrono::milliseconds;
using std::chrono::minutes;

// The number of items that one step looks at. Each costs the ledger tens of microseconds; a commit
// costs some milliseconds.
constexpr size_t kLooksPerStep = 50;
constexpr size_t kChangesPerStep = 20;
// Rounds between listings of the folders that seldom need one; the first round lists them too.
constexpr int64_t kRoundsPerInventory = 60;
// Safely above the longest time that a probe may take.
constexpr hours kProbeAge{1};
constexpr hours kPartialAge{24};
// Safely above the longest time that a submission may take.
constexpr minutes kSubmissionAge{5};

constexpr auto kKindNames =
    std::to_array<std::string_view>({"work", "outputs", "dead_letters", "uploads", "partials",
                                     "jobs", "expired_letters", "events", "requests"});

// Takes the last item of a list. REQUIRES: the list is not empty.
template <typename Item>
Item Take(std::vector<Item>& items) {
  Item item = std::move(items.back());
  items.pop_back();
  return item;
}

}  // namespace

Janitor::Janitor(JanitorOptions options, Ledger& ledger, const MediaInventory& inventory,
                 FileThread& files)
    : options_(options), ledger_(ledger), inventory_(inventory), files_(files) {
  static_assert(kKindNames.size() == kKinds);
}

std::optional<MonotonicTime> Janitor::NextStep() const {
  if (phase_ == Phase::kListing) return std::nullopt;
  if (phase_ == Phase::kIdle && next_round_) return next_round_;
  return MonotonicTime::min();
}

Outcome Janitor::Step(Dispatcher& dispatcher, Now now) {
  switch (phase_) {
    case Phase::kIdle:
      if (!next_round_ || *next_round_ <= now.monotonic) BeginRound(now);
      break;
    case Phase::kListing:
      break;
    case Phase::kWork:
      SortWork(dispatcher, now);
      if (findings_.work.empty()) phase_ = Phase::kOutputs;
      break;
    case Phase::kOutputs:
      SortOutputs(dispatcher);
      if (findings_.outputs.empty()) phase_ = Phase::kDeadLetters;
      break;
    case Phase::kDeadLetters:
      SortDeadLetters(dispatcher);
      if (findings_.dead_letters.empty()) phase_ = Phase::kUploads;
      break;
    case Phase::kUploads:
      SortUploads(now);
      if (findings_.uploads.empty()) phase_ = Phase::kLedger;
      break;
    case Phase::kLedger:
      if (std::optional<Outcome> expired = ExpireLetters(dispatcher, now)) {
        return std::move(*expired);
      }
      if (RemoveFinished(now) || RemoveTombstones(now) || PruneEvents(now) || PruneRequests(now))
        break;
      EndRound(now);
      break;
  }
  return {};
}

void Janitor::BeginRound(Now now) {
  phase_ = Phase::kListing;
  const bool all = rounds_ % kRoundsPerInventory == 0;
  const WallTime partials_before = now.wall - kPartialAge;
  const auto found = std::make_shared<Findings>();
  files_.Post(
      [this, all, partials_before, found](const std::stop_token&) {
        try {
          found->work = inventory_.ListWork();
          if (!all) return;
          found->outputs = inventory_.ListOutputs();
          found->dead_letters = inventory_.ListDeadLetters();
          found->uploads = inventory_.ListUploads();
          found->partials = inventory_.SweepPartials(partials_before);
        } catch (const std::exception& error) {
          found->error = error.what();
        }
      },
      [this, found] {
        findings_ = std::move(*found);
        Count(Kind::kPartials, findings_.partials);
        if (!findings_.error.empty()) {
          LogWarning("folders cannot be listed to be tidied", {{"detail", findings_.error}});
        }
        phase_ = Phase::kWork;
      });
}

void Janitor::EndRound(Now now) {
  phase_ = Phase::kIdle;
  next_round_ = now.monotonic + options_.every;
  ++rounds_;
  last_round_at_ = now.wall;
  std::erase_if(removed_uploads_, [&](const auto& removed) {
    return removed.second < now.monotonic - kSubmissionAge;
  });
  if (removed_ == reported_) return;
  nlohmann::json fields;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    if (removed_[kind] != reported_[kind]) {
      fields[std::string(kKindNames[kind])] = removed_[kind] - reported_[kind];
    }
  }
  reported_ = removed_;
  LogInfo("removed what nobody needs any more", fields);
}

void Janitor::SortWork(const Dispatcher& dispatcher, Now now) {
  for (size_t i = 0; i < kLooksPerStep && !findings_.work.empty(); ++i) {
    const MediaInventory::WorkFolder folder = Take(findings_.work);
    // A probe has neither lease nor fence.
    const milliseconds least = folder.fence == 0 ? milliseconds(kProbeAge) : options_.lease;
    if (folder.changed_at > now.wall - least) continue;
    if (dispatcher.OwnsWork(folder.task, folder.fence)) continue;
    Post([this, folder] { inventory_.RemoveWork(folder.task, folder.fence); }, "work folder");
    Count(Kind::kWork);
  }
}

void Janitor::SortOutputs(const Dispatcher& dispatcher) {
  for (size_t i = 0; i < kLooksPerStep && !findings_.outputs.empty(); ++i) {
    const MediaInventory::OutputFolder folder = Take(findings_.outputs);
    // An output being published is in its place before the ledger names it.
    if (dispatcher.Find(folder.job) != nullptr) continue;
    const std::optional<JobStanding> standing = ledger_.FindStanding(folder.job);
    if (standing && standing->published_fence == folder.fence) continue;
    Post([this, folder] { inventory_.RemoveOutputs(folder.job, folder.fence); }, "outputs");
    Count(Kind::kOutputs);
  }
}

bool Janitor::IsLetterNeeded(const std::string& job_id, const Dispatcher& dispatcher) const {
  // The letter of the previous generation stays until the job ends well or dies again. The letter
  // of this generation is written before the job is dead.
  if (dispatcher.Find(job_id) != nullptr) return true;
  const std::optional<JobStanding> standing = ledger_.FindStanding(job_id);
  if (!standing || standing->state != JobState::kDead) return false;
  const std::optional<DeadLetterRecord> letter = ledger_.FindDeadLetter(job_id);
  return letter && letter->state == DeadLetterRecord::State::kOpen;
}

void Janitor::SortDeadLetters(const Dispatcher& dispatcher) {
  for (size_t i = 0; i < kLooksPerStep && !findings_.dead_letters.empty(); ++i) {
    const std::string job = Take(findings_.dead_letters);
    if (IsLetterNeeded(job, dispatcher)) continue;
    Post([this, job] { inventory_.RemoveDeadLetter(job); }, "dead-letter folder");
    Count(Kind::kDeadLetters);
  }
}

void Janitor::SortUploads(Now now) {
  if (options_.keep_uploads == milliseconds(0)) findings_.uploads.clear();
  for (size_t i = 0; i < kLooksPerStep && !findings_.uploads.empty(); ++i) {
    const MediaInventory::UploadFolder upload = Take(findings_.uploads);
    if (upload.created_at > now.wall - options_.keep_uploads) continue;
    if (ledger_.IsUploadNamed(upload.id)) continue;
    removed_uploads_[upload.id] = now.monotonic;
    Post([this, id = upload.id] { inventory_.RemoveUpload(id); }, "upload");
    Count(Kind::kUploads);
  }
}

std::optional<Outcome> Janitor::ExpireLetters(Dispatcher& dispatcher, Now now) {
  if (options_.keep_dead == milliseconds(0)) return std::nullopt;
  std::vector<DeadJob> jobs;
  for (DeadLetterRecord& letter :
       ledger_.LettersDiedBefore(now.wall - options_.keep_dead, kChangesPerStep)) {
    std::optional<DeadJob> dead = ReadDeadJob(ledger_, letter.job_id);
    if (dead) jobs.push_back(std::move(*dead));
  }
  if (jobs.empty()) return std::nullopt;
  Count(Kind::kLetters, static_cast<int64_t>(jobs.size()));
  return dispatcher.OnExpired(std::move(jobs), now);
}

bool Janitor::RemoveFinished(Now now) {
  if (options_.keep_finished == milliseconds(0)) return false;
  const std::vector<std::string> jobs =
      ledger_.EndedBefore({JobState::kSucceeded, JobState::kCancelled},
                          now.wall - options_.keep_finished, kChangesPerStep);
  RemoveJobs(jobs);
  return !jobs.empty();
}

bool Janitor::RemoveTombstones(Now now) {
  if (options_.keep_dead == milliseconds(0)) return false;
  std::vector<std::string> jobs =
      ledger_.EndedBefore({JobState::kDead}, now.wall - 2 * options_.keep_dead, kLooksPerStep);
  std::erase_if(jobs, [&](const std::string& job) {
    const std::optional<DeadLetterRecord> letter = ledger_.FindDeadLetter(job);
    return letter && (!letter->closed_at || *letter->closed_at > now.wall - options_.keep_dead);
  });
  RemoveJobs(jobs);
  return !jobs.empty();
}

bool Janitor::PruneEvents(Now now) {
  if (options_.keep_events == milliseconds(0)) return false;
  const size_t events = ledger_.PruneEvents(now.wall - options_.keep_events, kChangesPerStep);
  Count(Kind::kEvents, static_cast<int64_t>(events));
  return events > 0;
}

bool Janitor::PruneRequests(Now now) {
  if (options_.keep_events == milliseconds(0)) return false;
  const size_t requests = ledger_.PruneRequests(now.wall - options_.keep_events, kChangesPerStep);
  Count(Kind::kRequests, static_cast<int64_t>(requests));
  return requests > 0;
}

void Janitor::RemoveJobs(const std::vector<std::string>& jobs) {
  if (jobs.empty()) return;
  std::vector<LedgerChange> changes;
  changes.reserve(jobs.size());
  for (const std::string& job : jobs) changes.emplace_back(RemoveJob{.job_id = job});
  ledger_.Commit(changes);
  // Remove the files last: if that is interrupted, the next broker's first round finds them without
  // a job.
  for (const std::string& job : jobs) {
    Post(
        [this, job] {
          inventory_.RemoveOutputs(job);
          inventory_.RemoveDeadLetter(job);
        },
        "files of a job");
  }
  Count(Kind::kJobs, static_cast<int64_t>(jobs.size()));
}

void Janitor::Post(std::function<void()> remove, const std::string& what) {
  files_.Post(
      [remove = std::move(remove), what](const std::stop_token&) {
        try {
          remove();
        } catch (const std::exception& error) {
          LogWarning(what + " not removed", {{"detail", error.what()}});
        }
      },
      {});
}

void Janitor::Count(Kind kind, int64_t number) { removed_[static_cast<size_t>(kind)] += number; }

bool Janitor::HasJustRemoved(const std::string& upload_id) const {
  return removed_uploads_.contains(upload_id);
}

nlohmann::json Janitor::View() const {
  nlohmann::json removed;
  for (size_t kind = 0; kind < kKinds; ++kind) {
    removed[std::string(kKindNames[kind])] = removed_[kind];
  }
  return {{"rounds", rounds_},
          {"last_round_at",
           last_round_at_ ? nlohmann::json(FormatTime(*last_round_at_)) : nlohmann::json()},
          {"removed", std::move(removed)}};
}

}  // namespace millrace::broker
