#pragma once

#include <string>
#include <string_view>

#include "core/base/clock.h"

namespace millrace::cli {

// Reads the value of --since and --until: a time in RFC 3339 ("2026-11-25T22:15:00Z", or with an
// offset such as +01:00), or a span back from `now`: a whole number and s, min (or m), h, d or w
// ("90s", "30min", "2h", "3d"). Throws Error{kInvalidRequest} naming `option`.
WallTime PointInTime(std::string_view text, WallTime now, const std::string& option);

}  // namespace millrace::cli
