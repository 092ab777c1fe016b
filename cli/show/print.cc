#include "cli/show/print.h"

#include <fmt/format.h>

#include <cstdio>

#include "cli/base/text.h"
#include "cli/show/terminal.h"
#include "core/base/json_text.h"

namespace millrace::cli {

void Print(std::string_view text) {
  std::fwrite(text.data(), 1, text.size(), stdout);
  std::fflush(stdout);
}

void PrintPath(const std::filesystem::path& path) {
  Print((IsTerminal(stdout) ? Printable(path.string()) : path.string()) + "\n");
}

void PrintJson(const nlohmann::json& value) { Print(ToIndentedText(value) + "\n"); }

void Tell(std::string_view text) { fmt::print(stderr, "millrace: {}\n", Printable(text)); }

}  // namespace millrace::cli
