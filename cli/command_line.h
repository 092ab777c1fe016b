#pragma once

namespace millrace::cli {

// Runs the program `millrace`: parses the command line, runs the command, and prints an error on
// standard error. Returns the exit status (cli/base/exit_status.h). Called by main().
int RunCommandLine(int argc, char** argv);

}  // namespace millrace::cli
