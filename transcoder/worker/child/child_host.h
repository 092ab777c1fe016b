#pragma once

#include <poll.h>

#include <map>
#include <memory>
#include <string>
#include <variant>
#include <vector>

#include "core/clock.h"
#include "core/media_store.h"
#include "transcoder/worker/child/memory_watch.h"
#include "transcoder/worker/child/task_runner.h"
#include "transcoder/worker/child/zygote.h"
#include "transcoder/worker/task_host.h"

namespace millrace {

struct ChildHostOptions {
  std::filesystem::path encoder;
  int threads = 0;  // of each task
  std::chrono::milliseconds stall_timeout{0};
};

// Runs what the session orders in child processes, each in its work folder. Touches no folder and
// no process that it has not made itself. Owned by the worker; used by the loop thread only.
class ChildHost final : public TaskHost {
 public:
  // Throws Error{kEncoderUnavailable} if the zygote cannot be started.
  ChildHost(ChildHostOptions options, MediaStore& store, const Clock& clock);
  // Ends what still runs and discards its files.
  ~ChildHost() override;

  void Start(const Assignment& assignment) override;
  void StartProbe(const ProbeOrder& order) override;
  void Stop(const Lease& lease) override;
  void Discard(const Lease& lease) override;

  // What to poll for input before Work() is called again, and until when.
  void AppendTo(std::vector<pollfd>& polled) const;
  MonotonicTime NextDeadline() const;

  // Does everything that is due without blocking, and tells `events` what has come of it.
  void Work(TaskEvents& events);

  int64_t memory_bytes() const { return memory_.limit_bytes(); }

 private:
  // What a run is for: a lease, or the id of a probe.
  using Purpose = std::variant<Lease, std::string>;
  struct Run {
    Purpose purpose;
    Lease folder;  // names its work folder
    std::unique_ptr<TaskRunner> runner;
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

  const ChildHostOptions options_;  // constant after construction
  MediaStore& store_;
  const Clock& clock_;
  const MemoryWatch memory_;

  std::unique_ptr<Zygote> zygote_;
  std::map<std::string, Run> runs_;         // by token
  std::vector<FailedStart> failed_starts_;  // to be told by the next Work()
};

}  // namespace millrace
