#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>

#include "core/model/task.h"

namespace millrace::broker {

// Remembers how the attempts of ended jobs ended, so that a worker that repeats its report, as the
// acknowledgement was lost, is acknowledged again. Holds the last 10,000 since the start. Older
// reports are answered with lease_lost, on which the worker stops repeating, too. Owned by the
// dispatcher.
class SettledAttempts {
 public:
  void Remember(const Attempt& attempt) {
    if (!outcomes_.emplace(attempt.fence, std::pair(attempt.task_id, attempt.outcome)).second) {
      return;
    }
    order_.push_back(attempt.fence);
    if (order_.size() <= kMost) return;
    outcomes_.erase(order_.front());
    order_.pop_front();
  }

  // Returns the outcome of that attempt; empty if it is not known.
  std::string OutcomeOf(const std::string& task_id, Fence fence) const {
    const auto found = outcomes_.find(fence);
    if (found == outcomes_.end() || found->second.first != task_id) return "";
    return found->second.second;
  }

 private:
  static constexpr size_t kMost = 10'000;

  std::unordered_map<Fence, std::pair<std::string, std::string>> outcomes_;
  std::deque<Fence> order_;
};

}  // namespace millrace::broker
