#pragma once

#include <cstdio>
#include <optional>

namespace millrace::cli {

// What is known of the terminal that a stream is, if it is one.

struct ScreenSize {
  int columns = 80;
  int rows = 24;
};

bool IsTerminal(std::FILE* stream);
// The usual size where it does not say, or is no terminal.
ScreenSize SizeOf(std::FILE* stream);
// To which long lines are cut; nullopt: whole lines, as it is no terminal.
std::optional<int> ColumnsOf(std::FILE* stream);

// Asks on standard error and reads the answer from standard input, both terminals; no answer is no.
bool Confirm(const char* question);

}  // namespace millrace::cli
