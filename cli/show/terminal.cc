#include "cli/show/terminal.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <iostream>
#include <string>

namespace millrace::cli {

bool IsTerminal(std::FILE* stream) { return isatty(fileno(stream)) != 0; }

ScreenSize SizeOf(std::FILE* stream) {
  winsize size{};
  if (ioctl(fileno(stream), TIOCGWINSZ, &size) != 0 || size.ws_col == 0 || size.ws_row == 0) {
    return {};
  }
  return {.columns = size.ws_col, .rows = size.ws_row};
}

std::optional<int> ColumnsOf(std::FILE* stream) {
  if (!IsTerminal(stream)) return std::nullopt;
  return SizeOf(stream).columns;
}

bool Confirm(const char* question) {
  std::fprintf(stderr, "%s [y/N] ", question);
  std::fflush(stderr);
  std::string answer;
  if (!std::getline(std::cin, answer)) std::fputc('\n', stderr);
  return answer == "y" || answer == "Y" || answer == "yes";
}

}  // namespace millrace::cli
