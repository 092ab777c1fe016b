#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace millrace::worker {

// The last lines of a log, oldest first, at most `max_lines` of at most kMaxTailLineBytes each.
// Reads only the end of the file. Returns nothing for a file that cannot be read: a missing log
// must not hide the failure that it would explain.
inline constexpr size_t kMaxTailLineBytes = 500;
std::vector<std::string> ReadLogTail(const std::filesystem::path& log, size_t max_lines);

}  // namespace millrace::worker
