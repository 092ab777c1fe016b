#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace millrace::broker {

// One thing that is wrong.
struct Finding {
  std::string check;    // the check that found it: "events", "outputs", …
  std::string subject;  // the job or file concerned; empty: the ledger as a whole
  std::string detail;
};

// Collects the findings of `--verify` and counts what was checked. Used by one thread.
class Findings {
 public:
  // Findings beyond this number are counted but not kept: a ledger of a million jobs can have a
  // million.
  static constexpr size_t kMaxKept = 1000;

  void Add(std::string check, std::string subject, std::string detail) {
    ++total_;
    if (kept_.size() < kMaxKept) {
      kept_.push_back({std::move(check), std::move(subject), std::move(detail)});
    }
  }
  // `what` in the plural, e.g. "jobs".
  void Count(const std::string& what, int64_t number = 1) { looked_at_[what] += number; }

  const std::vector<Finding>& kept() const { return kept_; }
  int64_t total() const { return total_; }
  const std::map<std::string, int64_t>& looked_at() const { return looked_at_; }

 private:
  std::vector<Finding> kept_;
  int64_t total_ = 0;
  std::map<std::string, int64_t> looked_at_;
};

}  // namespace millrace::broker
