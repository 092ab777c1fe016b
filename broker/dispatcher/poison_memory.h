#pragma once

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

namespace millrace::broker {

// The inputs that are known to crash encoders: the SHA-256 of the input of each open dead letter
// with the code `poison`, and its job. Owned by the dispatcher.
class PoisonMemory {
 public:
  explicit PoisonMemory(const std::vector<std::pair<std::string, std::string>>& known) {
    for (const auto& [sha256, job] : known) Remember(sha256, job);
  }

  void Remember(const std::string& sha256, const std::string& job) {
    if (!sha256.empty()) jobs_[sha256].insert(job);
  }

  void Forget(const std::string& sha256, const std::string& job) {
    const auto found = jobs_.find(sha256);
    if (found == jobs_.end()) return;
    found->second.erase(job);
    if (found->second.empty()) jobs_.erase(found);
  }

  // Returns the first job that died of this input; its report tells how. Empty: there is none.
  std::string FirstVictim(const std::string& sha256) const {
    const auto found = jobs_.find(sha256);
    return found == jobs_.end() ? "" : *found->second.begin();
  }

  bool empty() const { return jobs_.empty(); }

 private:
  std::map<std::string, std::set<std::string>> jobs_;  // ids sort by time
};

}  // namespace millrace::broker
