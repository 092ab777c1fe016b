#pragma once

#include <string>
#include <vector>

#include "tests/cli/up/running_program.h"

namespace millrace::cli {

// A conversation at a terminal.
struct TerminalSession {
  int columns = 80;
  std::string prompt;  // the text to wait for
  std::string answer;  // typed then, with Enter; empty: nothing is typed
};

// Runs `millrace` to its end on a terminal of its own. Returns everything that was on the screen in
// `out`, with the line ends of a file. Throws std::runtime_error if it takes too long.
ProgramResult RunOnTerminal(std::vector<std::string> arguments, const TerminalSession& session);

}  // namespace millrace::cli
