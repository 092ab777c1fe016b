#include "transcoder/worker/child/log_tail.h"

#include <algorithm>
#include <deque>
#include <fstream>

namespace millrace::worker {

std::vector<std::string> ReadLogTail(const std::filesystem::path& log, size_t max_lines) {
  std::ifstream file(log, std::ios::binary | std::ios::ate);
  if (!file) return {};
  const auto size = static_cast<int64_t>(file.tellg());
  const auto wanted = static_cast<int64_t>(2 * max_lines * kMaxTailLineBytes);
  const int64_t start = std::max<int64_t>(0, size - wanted);
  file.seekg(start);
  std::string line;
  if (start > 0) std::getline(file, line);  // its beginning is missing
  std::deque<std::string> lines;
  while (std::getline(file, line)) {
    if (line.size() > kMaxTailLineBytes) line.resize(kMaxTailLineBytes);
    lines.push_back(std::move(line));
    if (lines.size() > max_lines) lines.pop_front();
  }
  return {lines.begin(), lines.end()};
}

}  // namespace millrace::worker
