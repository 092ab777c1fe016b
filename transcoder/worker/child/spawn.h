#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <utility>
#include <vector>

namespace millrace::worker {

struct SpawnOrder {
  std::filesystem::path program;
  std::vector<std::string> arguments;
  // Pairs of a descriptor here and its number in the child. Other descriptors that are
  // close-on-exec are not inherited.
  std::vector<std::pair<int, int>> descriptors;
};

// Starts a program with standard input from /dev/null, no blocked signals, default handlers for
// the signals that a worker handles, and a process group of its own, so that a Ctrl-C meant for
// the worker does not kill it. Never forks this process. The caller reaps the child.
// Throws Error{kEncoderUnavailable} if it cannot be started.
pid_t Spawn(const SpawnOrder& order);

}  // namespace millrace::worker
