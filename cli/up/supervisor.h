#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdio>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "cli/up/restart_policy.h"
#include "core/base/clock.h"
#include "core/base/unique_fd.h"

namespace millrace::cli {

// One program that the supervisor keeps running.
struct SupervisedProgram {
  std::string name;  // for messages and the log's file name, e.g. "worker-1"
  std::filesystem::path program;
  std::vector<std::string> arguments;
  int stop_stage = 0;  // stages are stopped in order, each after the one before has ended
  std::chrono::milliseconds stop_timeout{5'000};  // from SIGTERM to SIGKILL
};

struct SupervisorOptions {
  std::vector<SupervisedProgram> programs;  // started in this order
  std::filesystem::path log_dir;            // gets <name>.log of each program; must exist
  std::function<bool()> is_ready;           // polled until it returns true; may block briefly
  std::function<void()> on_ready;           // called once
  std::chrono::milliseconds ready_timeout{60'000};
  // Gives up if a program ends this often in a row before the service has been ready.
  int start_attempts = 5;
  bool verbose = false;  // copy the programs' logs to `messages`
  std::FILE* messages = stderr;
};

// Runs programs in the foreground: starts them, restarts a program that ends, and stops all of them
// on SIGINT or SIGTERM, stage by stage; a second signal kills them at once. No program is left when
// Run() returns, or when the process ends in another way. Owned and used by the main thread, whose
// SIGINT, SIGTERM and SIGCHLD it takes over.
class Supervisor {
 public:
  explicit Supervisor(SupervisorOptions options);
  ~Supervisor();
  Supervisor(const Supervisor&) = delete;
  Supervisor& operator=(const Supervisor&) = delete;

  // Returns when all programs have stopped: true after a signal; false if the service could not be
  // started, with the reason written to `messages`. Call it once.
  bool Run();

 private:
  struct Child {
    SupervisedProgram spec;
    std::filesystem::path log_path;
    RestartPolicy policy;
    pid_t pid = 0;                           // 0: not running
    std::optional<MonotonicTime> start_at;   // when to restart it
    std::optional<MonotonicTime> kill_at;    // set when it is told to stop
    std::optional<int64_t> log_shown_bytes;  // set by the first start
  };

  void Start(Child& child);
  void StartDue();
  void TakeSignals();
  void Reap();
  void OnEnd(Child& child, int wait_status);
  void CheckReady();
  void BeginStop();
  void ContinueStop();
  void KillAll();
  // Kills the adopted processes that our children have left behind.
  void EndStrays();
  bool AnyRunning() const;
  void ShowLogs();
  std::string LogTail(const Child& child) const;
  void WaitForEvent();
  void Say(const std::string& text) const;

  const SupervisorOptions options_;
  const SystemClock clock_;
  std::vector<Child> children_;
  UniqueFd signals_;
  MonotonicTime ready_by_{};
  bool ready_ = false;
  bool stopping_ = false;
  bool failed_ = false;
};

}  // namespace millrace::cli
