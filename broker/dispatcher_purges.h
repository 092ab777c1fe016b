#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <optional>
#include <string>
#include <utility>

namespace millrace {

// What the last purges of many found, so that one whose answer was lost is answered again. Bounded,
// and forgotten at a restart. Owned by the dispatcher.
class RecentPurges {
 public:
  void Remember(const std::string& purge_id, int64_t count) {
    purges_.emplace_back(purge_id, count);
    if (purges_.size() > kMost) purges_.pop_front();
  }

  std::optional<int64_t> CountOf(const std::string& purge_id) const {
    for (const auto& [id, count] : purges_) {
      if (id == purge_id) return count;
    }
    return std::nullopt;
  }

 private:
  static constexpr size_t kMost = 256;

  std::deque<std::pair<std::string, int64_t>> purges_;
};

}  // namespace millrace
