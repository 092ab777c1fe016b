#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace millrace::cli {

// A program to run in the background of this one.
struct ChildCommand {
  std::filesystem::path program;
  std::vector<std::string> arguments;  // without the program's own name
  int output_fd = -1;                  // becomes its standard error, and its standard output unless
  int stdout_fd = -1;                  // this is given too
  int death_signal = 0;                // what the kernel sends it when the calling thread ends
};

// Starts the program in a process group of its own, so that a Ctrl-C at the terminal reaches only
// us, with /dev/null as standard input and no blocked signals. The thread that calls this has to
// live as long as the child: the death signal is tied to it. Returns the process id. Throws
// Error{kInternal} naming the program if it cannot be run.
pid_t StartChild(const ChildCommand& command);

// "exited with status 3", "was killed by signal 9 (Killed)".
std::string DescribeWaitStatus(int wait_status);

// The folder of the running program.
std::filesystem::path OwnFolder();

}  // namespace millrace::cli
