#pragma once

#include <algorithm>
#include <string>
#include <utility>
#include <vector>

namespace millrace::api {

// Which jobs that somebody follows are read next although nothing was announced of them: all of
// them in turn, in slices, so that the broker is never asked for all at once. Decides only; owned
// by the link thread.
class Rereading {
 public:
  // Announcements may have been missed: everything is to be read once more, and soon. What is due
  // already is not put off by it, however often it is called.
  void Hurry() { again_ = true; }
  // Whether there is a reason not to wait for the next turn.
  bool IsInAHurry() const { return again_ || (hurried_ && !due_.empty()); }

  // The next of the keys of `followed`, at most `count`. What comes newly goes into the next turn:
  // it was read when it came.
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
