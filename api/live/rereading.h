#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace millrace::api {

// Picks the followed jobs that are read again although nothing was announced of them: all in turn,
// in slices, so that the broker is never asked for all at once. Decides only; owned by the link
// thread.
class Rereading {
 public:
  // Has everything read once more, soon, because announcements may have been missed. Idempotent,
  // and delays nothing that is due already.
  void Hurry() { again_ = true; }
  // Returns true while there is a reason not to wait for the next turn.
  bool IsInAHurry() const { return again_ || (hurried_ && !due_.empty()); }

  // Returns the next keys of `followed`, at most `count`. A job that is new waits for the next
  // turn: it was read when it came.
  template <typename Map>
  std::vector<std::string> Next(const Map& followed, size_t count) {
    if (count == 0) return {};
    if (due_.empty()) {
      hurried_ = std::exchange(again_, false);
      for (const auto& entry : followed) due_.push_back(entry.first);
    }
    std::vector<std::string> next;
    while (!due_.empty() && next.size() < count) {
      if (followed.contains(due_.back())) next.push_back(std::move(due_.back()));
      due_.pop_back();
    }
    return next;
  }

 private:
  std::vector<std::string> due_;  // of this turn
  bool hurried_ = false;          // this turn
  bool again_ = false;            // another turn at once
};

}  // namespace millrace::api
