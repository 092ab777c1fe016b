#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/clock.h"

namespace millrace::bench {

struct LogLine {
  WallTime at;  // in whole milliseconds
  nlohmann::json fields;
};

// Returns the lines of a program's log with this message, from `since` on, in order. Leaves out
// incomplete lines, and those that are no JSON.
std::vector<LogLine> LinesOf(const std::filesystem::path& log, const std::string& message,
                             WallTime since);

}  // namespace millrace::bench
