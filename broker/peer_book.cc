#include "broker/peer_book.h"

namespace millrace {
namespace {

// Far beyond any lease: whoever is silent for so long has restarted under another instance id.
constexpr std::chrono::minutes kSilence{30};

}  // namespace

void PeerBook::Learn(const std::string& instance, const std::string& peer, MonotonicTime now) {
  const auto [entry, is_new] = entries_.insert_or_assign(instance, Entry{peer, now});
  // New instances are rare, and nothing else lets the book grow.
  if (is_new) ForgetSilent(now);
}

const std::string* PeerBook::Find(const std::string& instance) const {
  const auto found = entries_.find(instance);
  return found == entries_.end() ? nullptr : &found->second.peer;
}

void PeerBook::ForgetSilent(MonotonicTime now) {
  std::erase_if(entries_, [&](const auto& item) { return now - item.second.heard > kSilence; });
}

}  // namespace millrace
