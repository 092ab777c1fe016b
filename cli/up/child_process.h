#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace millrace::cli {

// Describes a program to run in the background.
struct ChildCommand {
  std::filesystem::path program;
  std::vector<std::string> arguments;  // without the program's own name
  int output_fd = -1;                  // its standard error, and its standard output unless
  int stdout_fd = -1;                  // this is given
  int death_signal = 0;                // sent by the kernel when the calling thread ends
};

// Starts the program, with /dev/null as standard input and no blocked signals, in a process group
// of its own, so that a Ctrl-C at the terminal does not reach it. Returns the process id. Throws
// Error{kInternal} naming the program if it cannot be run. REQUIRES: the calling thread outlives
// the child, as the kernel ties the death signal to the thread.
pid_t StartChild(const ChildCommand& command);

// Returns "exited with status 3", or "was killed by signal 9 (Killed)".
std::string DescribeWaitStatus(int wait_status);

// Returns the folder of the running program.
std::filesystem::path OwnFolder();

}  // namespace millrace::cli
