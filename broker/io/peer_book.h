#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/clock.h"

namespace millrace::broker {

// Which connection each worker instance was last heard on. A worker that reconnects gets another
// name from the ROUTER, so every message that names its instance teaches the book anew. Owned by
// the broker's loop.
class PeerBook {
 public:
  // What comes late from a connection that has closed teaches nothing: its worker may have come
  // back on another one long ago.
  void Learn(const std::string& instance, const std::string& peer, MonotonicTime now);
  // Returns the instances that were last heard on it.
  std::vector<std::string> Close(const std::string& peer, MonotonicTime now);

  // Returns nullptr for an instance that was never heard or has long been silent.
  const std::string* Find(const std::string& instance) const;
  // Whether the connection has closed, a while ago at most.
  bool IsClosed(const std::string& peer) const { return closed_.contains(peer); }
  // Whether what the instance was last heard on has not closed since.
  bool IsConnected(const std::string& instance) const;

 private:
  struct Entry {
    std::string peer;
    MonotonicTime heard;
  };

  void ForgetOld(MonotonicTime now);

  std::unordered_map<std::string, Entry> entries_;
  std::unordered_map<std::string, MonotonicTime>
      closed_;  // connections, and when; never used again
};

}  // namespace millrace::broker
