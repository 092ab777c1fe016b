#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "broker/dispatcher/dispatcher.h"
#include "broker/io/file_thread.h"
#include "broker/ledger/ledger.h"
#include "broker/upkeep/media_inventory.h"

namespace millrace::broker {

struct JanitorOptions {
  std::chrono::milliseconds every{60'000};
  // A work folder without an owner is removed only once it is older than a lease: until then a
  // worker that lost its lease may still write there.
  std::chrono::milliseconds lease{15'000};
  // Retention periods; 0: keep for ever.
  std::chrono::milliseconds keep_finished{std::chrono::days(7)};  // jobs that are not dead
  std::chrono::milliseconds keep_dead{std::chrono::days(30)};     // letters; rows twice as long
  std::chrono::milliseconds keep_uploads{std::chrono::days(1)};   // uploads that no job names
  // Events of removed jobs; bulk redrives and purges.
  std::chrono::milliseconds keep_events{std::chrono::days(7)};
};

// Removes leftovers of programs that died and everything past its retention period. Never removes
// anything in use: it asks the ledger and the dispatcher about each item just before removing it,
// and a freed name is never used again.
//
// Works in rounds; the first starts at once. The file thread lists and removes folders. On the
// loop's thread a round is cut into steps of a few milliseconds, so that no reply waits for it.
// Owned by the broker's loop and used by its thread alone. Everything passed to it must outlive it,
// and all work it posted to `files` must be finished before it is destroyed.
class Janitor {
 public:
  Janitor(JanitorOptions options, Ledger& ledger, const MediaInventory& inventory,
          FileThread& files);

  // Returns the time of the next Step(); nullopt: wait until the file thread has finished
  // something.
  std::optional<MonotonicTime> NextStep() const;
  // Does a small amount of work. Commits changes of ended jobs to the ledger itself; returns the
  // dispatcher's outcome for everything else. Throws Error if the ledger fails; the next call
  // repeats the step. REQUIRES: all that the dispatcher has decided is committed.
  Outcome Step(Dispatcher& dispatcher, Now now);

  // Returns true if the upload was removed a moment ago, perhaps after a submission that names it
  // was checked.
  bool HasJustRemoved(const std::string& upload_id) const;
  // Returns counts since the broker started: {"rounds", "last_round_at", "removed": {"work": 3,
  // ...}}.
  nlohmann::json View() const;

 private:
  enum class Phase { kIdle, kListing, kWork, kOutputs, kDeadLetters, kUploads, kLedger };
  enum class Kind {
    kWork,
    kOutputs,
    kDeadLetters,
    kUploads,
    kPartials,
    kJobs,
    kLetters,
    kEvents,
    kRequests,
  };
  static constexpr size_t kKinds = static_cast<size_t>(Kind::kRequests) + 1;

  // The findings of a round, taken from the back.
  struct Findings {
    std::vector<MediaInventory::WorkFolder> work;
    std::vector<MediaInventory::OutputFolder> outputs;
    std::vector<std::string> dead_letters;
    std::vector<MediaInventory::UploadFolder> uploads;
    int partials = 0;
    std::string error;
  };

  void BeginRound(Now now);
  void EndRound(Now now);
  void SortWork(const Dispatcher& dispatcher, Now now);
  void SortOutputs(const Dispatcher& dispatcher);
  void SortDeadLetters(const Dispatcher& dispatcher);
  void SortUploads(Now now);
  // Each returns true if it found something to do.
  bool RemoveFinished(Now now);
  bool RemoveTombstones(Now now);
  bool PruneEvents(Now now);
  bool PruneRequests(Now now);
  std::optional<Outcome> ExpireLetters(Dispatcher& dispatcher, Now now);

  // Removes the rows of jobs, then their files.
  void RemoveJobs(const std::vector<std::string>& jobs);
  bool IsLetterNeeded(const std::string& job_id, const Dispatcher& dispatcher) const;
  void Post(std::function<void()> remove, const std::string& what);
  void Count(Kind kind, int64_t number = 1);

  const JanitorOptions options_;
  Ledger& ledger_;
  const MediaInventory& inventory_;
  FileThread& files_;

  Phase phase_ = Phase::kIdle;
  std::optional<MonotonicTime> next_round_;  // nullopt: now
  Findings findings_;
  std::unordered_map<std::string, MonotonicTime> removed_uploads_;
  int64_t rounds_ = 0;
  std::optional<WallTime> last_round_at_;
  std::array<int64_t, kKinds> removed_{};
  std::array<int64_t, kKinds> reported_{};  // the part of the counts already logged
};

}  // namespace millrace::broker
