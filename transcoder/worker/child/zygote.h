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

// A run that ended without a word, because its zygote died (or had not been started yet when the
// run was killed). Its process, if there was one, dies with the zygote.
struct ZygoteLost {
  std::string token;
};
using ZygoteEvent = std::variant<ZygoteStarted, ZygoteExited, ZygoteRefused, ZygoteLost>;

// Keeps one zygote (`<encoder> --zygote FD`) running: starts it, starts it again when it dies, at
// once if it had been of use and ever more slowly if it had not. Runs that come while there is none
// wait for the next one. Owned by ChildHost; used by the loop thread only, never blocks.
class Zygote {
 public:
  // Throws Error{kEncoderUnavailable} if the program cannot be started.
  Zygote(std::filesystem::path encoder, const Clock& clock);
  // Ends the zygote and with it all children.
  ~Zygote();
  Zygote(const Zygote&) = delete;
  Zygote& operator=(const Zygote&) = delete;

  void Run(ZygoteRun run);
  // SIGKILLs the child of `token`; its end is reported by an event as any other.
  void Kill(const std::string& token);
  // Ends a zygote that does not do what it is told. All its runs become ZygoteLost.
  void Abandon();

  // What has happened since the last call. Starts a zygote if one is due.
  std::vector<ZygoteEvent> Poll();
  // To be polled for input; -1 while there is no zygote.
  int fd() const { return channel_.get(); }
  // When Poll() must be called though fd() has no input.
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
