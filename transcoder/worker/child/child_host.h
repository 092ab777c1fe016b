#pragma once

#include <poll.h>

#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/base/clock.h"
#include "core/media/media_store.h"
#include "transcoder/worker/child/memory_watch.h"
#include "transcoder/worker/child/task_runner.h"
#include "transcoder/worker/child/zygote.h"
#include "transcoder/worker/task_host.h"

namespace millrace::worker {

struct ChildHostOptions {
  std::filesystem::path encoder;
  int threads = 0;  // of each task
  std::chrono::milliseconds stall_timeout{0};
  // How long the report of a failure may wait for its excerpt.
  std::chrono::milliseconds excerpt_patience{std::chrono::seconds(10)};
};

// Runs the session's orders in child processes, each in its work folder. Touches no folder or
// process of others. Owned by the worker; used by the loop thread only.
//
// If a failure has a place in the media, another short child cuts an excerpt of the input around it
// before the failure is reported (see child/excerpt.h). The excerpt stands as excerpt.mkv beside
// the attempt's log. If anything goes wrong with it, the failure is reported in time without it.
class ChildHost final : public TaskHost {
 public:
  // Throws Error{kEncoderUnavailable} if the zygote cannot be started.
  ChildHost(ChildHostOptions options, MediaStore& store, const Clock& clock);
  // Kills the runs and discards their files.
  ~ChildHost() override;

  void Start(const Assignment& assignment) override;
  void StartProbe(const ProbeOrder& order) override;
  void Stop(const Lease& lease) override;
  void Discard(const Lease& lease) override;
  void SkipExcerpts() override;

  // The descriptors to poll before Work() is called again, and the time to wait at most.
  void AppendTo(std::vector<pollfd>& polled) const;
  MonotonicTime NextDeadline() const;

  // Does everything that is due, without blocking, and reports the results to `events`.
  void Work(TaskEvents& events);

  int64_t memory_bytes() const { return memory_.limit_bytes(); }

 private:
  // An excerpt for the failed attempt of a lease.
  struct ExcerptOf {
    Lease lease;

    bool operator==(const ExcerptOf&) const = default;
  };
  // The purpose of a run: a lease, the id of a probe, or an excerpt.
  using Purpose = std::variant<Lease, std::string, ExcerptOf>;
  struct Run {
    Purpose purpose;
    Lease folder;  // names its work folder
    TaskDocument document;
    std::unique_ptr<TaskRunner> runner;
  };
  // A failure that is not reported yet, because its excerpt is being cut.
  struct Untold {
    AttemptFailure failure;
    MonotonicTime until{};
    bool stopped = false;  // nobody wants to know any more
  };
  struct FailedStart {
    Purpose purpose;
    Error error;
  };

  void StartRun(const Purpose& purpose, const Lease& folder, const Input& input,
                TaskDocument document, std::optional<MonotonicTime> deadline);
  void TellNews(Run& run, TaskEvents& events);
  void TellOutcome(const Run& run, Outcome outcome, TaskEvents& events);
  void TellLease(const Lease& lease, const Run& run, Outcome outcome, TaskEvents& events);
  void TellProbe(const std::string& probe, const Run& run, Outcome outcome, TaskEvents& events);

  // Returns false if no excerpt can be cut; then report the failure at once.
  bool StartExcerpt(const Lease& lease, const Run& failed, const AttemptFailure& failure);
  void StopExcerpt(const Lease& lease);
  void OnExcerpt(const Lease& lease, const Run& run, const Outcome& outcome, TaskEvents& events);
  // `excerpt` is the name of its file; empty if there is none.
  void TellUntold(const Lease& lease, const std::string& excerpt, TaskEvents& events);
  void TellOverdue(TaskEvents& events);

  const ChildHostOptions options_;  // constant after construction
  MediaStore& store_;
  const Clock& clock_;
  const MemoryWatch memory_;

  std::unique_ptr<Zygote> zygote_;
  std::map<std::string, Run> runs_;         // by token
  std::vector<FailedStart> failed_starts_;  // to be told by the next Work()
  std::map<Lease, Untold> untold_;
  bool skips_excerpts_ = false;
};

}  // namespace millrace::worker
