#pragma once

#include <sys/types.h>

#include <map>
#include <string>

#include "core/base/unique_fd.h"
#include "transcoder/zygote_protocol.h"

namespace millrace::encode {

// Forks one child a task from a process that has everything linked and loaded, a single thread, and
// nothing else to do: this takes a twentieth of the time of starting the program. See
// zygote_protocol.h. Owned and run by the main thread of `millrace-encode --zygote`.
class Zygote {
 public:
  // Blocks SIGCHLD in this process.
  explicit Zygote(UniqueFd socket);
  // Returns when the other end is closed, after all children were killed and reaped.
  void Run();

 private:
  // Returns false when the other end is closed.
  bool HandleRequest();
  void Handle(ZygoteRun run);
  void Handle(const ZygoteKill& kill);
  void Reap();
  void KillAll();
  [[noreturn]] void BecomeTask(const ZygoteRun& run, pid_t zygote);

  UniqueFd socket_;
  UniqueFd signals_;
  std::map<std::string, pid_t> children_;  // by token; not reaped yet
};

}  // namespace millrace::encode
