#include "broker/io/peer_book.h"

namespace millrace::broker {
namespace {

// Far beyond any lease: a worker that is silent for so long has restarted under another instance
// id.
constexpr std::chrono::minutes kSilence{30};
// Far beyond the time that messages of a closed connection may wait to be read.
constexpr std::chrono::minutes kLateness{5};

}  // namespace

void PeerBook::Learn(const std::string& instance, const std::string& peer, MonotonicTime now) {
  if (closed_.contains(peer)) ForgetOld(now);
  if (closed_.contains(peer)) return;
  const auto [entry, is_new] = entries_.insert_or_assign(instance, Entry{peer, now});
  // Only new instances and closed connections make the book grow, and both are rare.
  if (is_new) ForgetOld(now);
}

std::vector<std::string> PeerBook::Close(const std::string& peer, MonotonicTime now) {
  ForgetOld(now);
  closed_.insert_or_assign(peer, now);
  std::vector<std::string> instances;
  for (const auto& [instance, entry] : entries_) {
    if (entry.peer == peer) instances.push_back(instance);
  }
  return instances;
}

const std::string* PeerBook::Find(const std::string& instance) const {
  const auto found = entries_.find(instance);
  return found == entries_.end() ? nullptr : &found->second.peer;
}

bool PeerBook::IsConnected(const std::string& instance) const {
  const std::string* peer = Find(instance);
  return peer != nullptr && !closed_.contains(*peer);
}

void PeerBook::ForgetOld(MonotonicTime now) {
  std::erase_if(entries_, [&](const auto& item) { return now - item.second.heard > kSilence; });
  std::erase_if(closed_, [&](const auto& item) { return now - item.second > kLateness; });
}

}  // namespace millrace::broker
