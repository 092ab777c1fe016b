#pragma once

#include <string>
#include <vector>

#include "tests/cli/up/running_program.h"

namespace millrace::cli {

// What somebody at a terminal does and sees.
struct TerminalSession {
  int columns = 80;
  std::string prompt;  // when this is on the screen…
  std::string answer;  // …this is typed, and Enter; empty: nothing is
};

// Runs `millrace` to its end on a terminal of its own. All that was on the screen is in `out`,
// lines ended as in a file. Throws std::runtime_error if it takes too long.
ProgramResult RunOnTerminal(std::vector<std::string> arguments, const TerminalSession& session);

}  // namespace millrace::cli
