#pragma once

namespace millrace::cli {

// The program `millrace`: parses the command line, runs the command, prints what went wrong on
// standard error. Returns the status to exit with (cli/base/exit_status.h). Called by main().
int RunCommandLine(int argc, char** argv);

}  // namespace millrace::cli
