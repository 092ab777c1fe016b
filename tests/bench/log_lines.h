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

// The lines of a program's log with this message, in order; of those, the ones from `since` on.
// Lines that are no JSON, or not whole yet, are left out.
std::vector<LogLine> LinesOf(const std::filesystem::path& log, const std::string& message,
                             WallTime since);

}  // namespace millrace::bench
