#pragma once

#include <cstdio>
#include <optional>

namespace millrace::cli {

// Facts about the terminal behind a stream.

struct ScreenSize {
  int columns = 80;
  int rows = 24;
};

bool IsTerminal(std::FILE* stream);
// Returns the default size if the stream is no terminal, or the terminal does not know its size.
ScreenSize SizeOf(std::FILE* stream);
// Returns the width to which long lines are cut; nullopt for a stream that is no terminal.
std::optional<int> ColumnsOf(std::FILE* stream);

// Asks on standard error and reads the answer from standard input; no answer is no. REQUIRES: both
// are terminals.
bool Confirm(const char* question);

}  // namespace millrace::cli
