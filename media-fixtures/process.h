#pragma once

#include <string>
#include <vector>

namespace millrace::fixtures {

struct ProcessResult {
  int exit_code = -1;
  std::string out;  // what it wrote to its standard output
};

// Runs a program found on PATH, without a shell, and waits for it; its complaints are dropped. One
// that runs for longer than a minute is stopped. Throws std::system_error if none can be started.
ProcessResult RunProcess(std::vector<std::string> command);

}  // namespace millrace::fixtures
