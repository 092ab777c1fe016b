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
  // A work folder that nobody owns is removed once it is older than a lease: a worker that has lost
  // its own may still be writing there until then.
  std::chrono::milliseconds lease{15'000};
  // For how long things are kept; 0: for ever.
  std::chrono::milliseconds keep_finished{std::chrono::days(7)};  // jobs that are not dead
  std::chrono::milliseconds keep_dead{std::chrono::days(30)};     // letters; their rows twice that
  std::chrono::milliseconds keep_uploads{std::chrono::days(1)};   // that no job names
  // Events of jobs that are gone; redrives and purges of many.
  std::chrono::milliseconds keep_events{std::chrono::days(7)};
};

// Removes what nobody needs any more: what programs that died left half-done, and what retention
// says. Nothing that is in use: the ledger and the dispatcher are asked about each thing when its
// turn comes, and a name is never used again once it is free.
//
// Works in rounds, the first at once. The file thread lists the folders and removes what is to go;
// on the loop's thread a round is cut into steps of a few milliseconds, so that no reply waits for
// it. Owned by the broker's loop and used by its thread alone. All that it is given must outlive
// it, and nothing may be left on `files` that it has posted when it is destroyed.
class Janitor {
 public:
  Janitor(JanitorOptions options, Ledger& ledger, const MediaInventory& inventory,
          FileThread& files);

  // When Step() has something to do; nullopt: once the file thread has something done.
  std::optional<MonotonicTime> NextStep() const;
  // Does a little. Commits to the ledger by itself what concerns jobs that have ended; returns what
  // the dispatcher makes of the rest. Throws Error where the ledger fails; the step is done again
  // next time. REQUIRES: all that the dispatcher has decided is committed.
  Outcome Step(Dispatcher& dispatcher, Now now);

  // Whether the upload was removed a moment ago. A submission that names it was checked before.
  bool HasJustRemoved(const std::string& upload_id) const;
  // {"rounds", "last_round_at", "removed": {"work": 3, ...}}: since the broker was started.
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

  // What a round has found, taken from the back.
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
  // Each returns whether it has found something to do.
  bool RemoveFinished(Now now);
  bool RemoveTombstones(Now now);
  bool PruneEvents(Now now);
  bool PruneRequests(Now now);
  std::optional<Outcome> ExpireLetters(Dispatcher& dispatcher, Now now);

  // Removes job rows, and then their files.
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
  std::array<int64_t, kKinds> reported_{};  // of these, what the log has been told
};

}  // namespace millrace::broker
