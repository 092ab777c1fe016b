#pragma once

#include <sys/types.h>

#include <deque>
#include <filesystem>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "core/base/clock.h"
#include "core/base/unique_fd.h"
#include "transcoder/zygote_protocol.h"

namespace millrace::worker {

// A run whose zygote died, or had not been started when the run was killed. Its process, if there
// was one, dies with the zygote.
struct ZygoteLost {
  std::string token;
};
using ZygoteEvent = std::variant<ZygoteStarted, ZygoteExited, ZygoteRefused, ZygoteLost>;

// Keeps one zygote (`<encoder> --zygote FD`) running. Restarts it when it dies: at once if it had
// been of use, else ever more slowly. Runs that are ordered meanwhile wait for the next zygote.
// Owned by ChildHost; used by the loop thread only, never blocks.
class Zygote {
 public:
  // Throws Error{kEncoderUnavailable} if the program cannot be started.
  Zygote(std::filesystem::path encoder, const Clock& clock);
  // Ends the zygote, and with it all its children.
  ~Zygote();
  Zygote(const Zygote&) = delete;
  Zygote& operator=(const Zygote&) = delete;

  void Run(ZygoteRun run);
  // SIGKILLs the child of `token`; its end is reported by an event as any other.
  void Kill(const std::string& token);
  // Kills a zygote that does not obey. All its runs become ZygoteLost.
  void Abandon();

  // Returns the events since the last call. Starts a zygote if one is due.
  std::vector<ZygoteEvent> Poll();
  // The descriptor to poll for input; -1 while there is no zygote.
  int fd() const { return channel_.get(); }
  // The time at which Poll() must be called even without input.
  MonotonicTime NextDeadline() const;

 private:
  void Start();
  void Send(ZygoteRun run);
  void OnDeath(std::vector<ZygoteEvent>& events);
  void Reap();

  const std::filesystem::path encoder_;  // constant after construction
  const Clock& clock_;

  UniqueFd channel_;
  pid_t pid_ = 0;
  MonotonicTime started_at_{};
  MonotonicTime restart_at_{};
  int useless_starts_ = 0;         // zygotes in a row that died young
  std::set<std::string> running_;  // tokens sent to this zygote and not ended
  std::deque<ZygoteRun> waiting_;  // for the next zygote
  std::vector<ZygoteEvent> events_;
};

}  // namespace millrace::worker
