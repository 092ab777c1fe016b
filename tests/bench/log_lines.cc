#include "tests/bench/log_lines.h"

#include <fstream>

namespace millrace::bench {

std::vector<LogLine> LinesOf(const std::filesystem::path& log, const std::string& message,
                             WallTime since) {
  const WallTime first = std::chrono::floor<std::chrono::milliseconds>(since);
  std::vector<LogLine> lines;
  std::ifstream in(log);
  for (std::string text; std::getline(in, text);) {
    nlohmann::json fields = nlohmann::json::parse(text, nullptr, false);
    if (!fields.is_object() || fields.value("message", "") != message) continue;
    const WallTime at = ParseTime(fields.at("time").get_ref<const std::string&>());
    if (at >= first) lines.push_back({.at = at, .fields = std::move(fields)});
  }
  return lines;
}

}  // namespace millrace::bench
