#pragma once

#include <sys/types.h>

#include <chrono>
#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/base/unique_fd.h"

namespace millrace::harness {

struct Command {
  std::filesystem::path program;  // looked up on PATH if it has no slash
  std::vector<std::string> arguments;
  std::vector<std::string> environment;  // "NAME=value", over that of this process
  std::filesystem::path folder;          // to run in; empty: this one
  std::filesystem::path out;             // standard output, appended; empty: dropped
  std::filesystem::path err;             // standard error; may be the same file
};

// The end of a process: its exit status, or the signal that killed it.
struct ProcessEnd {
  int exit_status = -1;
  int signal = 0;
};

// A child process. The destructor stops it, so that no test leaves it behind; it also dies with the
// thread that started it. Owned and used by that thread.
class Program {
 public:
  // Throws std::system_error if the system cannot start a process.
  explicit Program(const Command& command);
  ~Program();
  Program(const Program&) = delete;
  Program& operator=(const Program&) = delete;

  pid_t pid() const { return pid_; }
  bool Running();
  // Does nothing if it has ended.
  void Signal(int signal_number);
  // Returns nullopt if it still runs after `limit`.
  std::optional<ProcessEnd> WaitFor(std::chrono::milliseconds limit);
  // Sends SIGTERM, and SIGKILL if the process has not ended after `limit`.
  ProcessEnd Stop(std::chrono::milliseconds limit = std::chrono::seconds(20));
  // Sends SIGKILL; returns when the process has ended.
  void Kill();

 private:
  pid_t pid_ = 0;
  UniqueFd handle_;  // a pidfd
  std::optional<ProcessEnd> end_;
};

struct CommandResult {
  ProcessEnd end;
  std::string out;
  std::string err;
};

// Runs a command to its end. Kills it after `limit`; end.signal is then 9.
CommandResult RunCommand(Command command, std::chrono::milliseconds limit);

// Returns the folder of the built programs: MILLRACE_BIN_DIR of the environment, or of the build.
std::filesystem::path ProgramPath(const std::string& name);

// The last `lines` of a file; empty if it cannot be read.
std::string TailOf(const std::filesystem::path& file, size_t lines);

}  // namespace millrace::harness
