#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "core/base/clock.h"
#include "core/base/unique_fd.h"
#include "core/model/task.h"
#include "transcoder/worker/child/memory_watch.h"
#include "transcoder/worker/child/outcome.h"
#include "transcoder/worker/child/report_stream.h"
#include "transcoder/worker/child/zygote.h"

namespace millrace::worker {

struct RunOptions {
  std::string token;
  std::filesystem::path folder;  // the work folder, existing, with out/ in it
  std::chrono::milliseconds stall_timeout{0};
  std::optional<MonotonicTime> deadline;  // of the whole run
};

// News of a child since the last call.
struct RunNews {
  bool started = false;
  std::optional<nlohmann::json> media;
  std::optional<Progress> progress;  // the latest
};

// Runs one task in one child process: writes task.json, has the zygote start the child, reads its
// reports, kills it when it makes no progress, and judges its end. Owned by ChildHost; used by the
// loop thread only, never blocks. The work folder is its owner's to discard.
class TaskRunner {
 public:
  // Throws Error{kStorageFull}, Error{kStorageError} or Error{kInternal} if it cannot be prepared;
  // nothing was started then. All references outlive the runner.
  TaskRunner(const TaskDocument& document, RunOptions options, Zygote& zygote, const Clock& clock,
             const MemoryWatch& memory);

  const std::string& token() const { return options_.token; }
  const std::filesystem::path& folder() const { return options_.folder; }
  // The descriptor to poll for input; -1 once the child has closed its end.
  int fd() const { return report_.get(); }

  // Reads some of what the child has written; a flood does not delay the other runs.
  void ReadReports();
  // Handles an event of this run's child.
  void OnEvent(const ZygoteEvent& event);
  // Kills the child if it has taken too long.
  void CheckTime();
  MonotonicTime NextDeadline() const;
  // Kills the child; the outcome will be RunStopped.
  void Stop() { Kill(KillCause::kOrdered); }

  RunNews TakeNews();
  // Returns the outcome once, when the child has ended and all its reports are read.
  std::optional<Outcome> TakeOutcome();
  // The last lines of its log.
  std::vector<std::string> LogTail() const;

 private:
  enum class Reading { kMore, kNothingNow, kEnd };
  void Kill(KillCause cause);
  Reading ReadSome();
  void OnLine(const std::string& line);
  void OnProgress(Progress progress);
  void OnExit(const ZygoteExited& exited);
  bool MemoryPressure(const ZygoteExited& exited) const;

  const RunOptions options_;
  Zygote& zygote_;
  const Clock& clock_;
  const MemoryWatch& memory_;
  const int64_t oom_kills_before_;

  UniqueFd report_;
  LineSplitter lines_;
  int unintelligible_ = 0;
  RunNews news_;
  nlohmann::json media_;         // the first that was reported
  MonotonicTime advanced_at_{};  // when it last made progress
  double furthest_seconds_ = 0;  // of media time, of all that it has reported
  int furthest_percent_ = 0;
  MonotonicTime killed_at_{};  // meaningful if end_.cause is set
  MonotonicTime lost_at_{};    // meaningful if lost_
  bool exited_ = false;        // the zygote has told its end
  bool lost_ = false;          // the zygote died first
  bool judged_ = false;
  ChildEnd end_;
};

}  // namespace millrace::worker
