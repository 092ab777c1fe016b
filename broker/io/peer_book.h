#pragma once

#include <string>
#include <unordered_map>
#include <vector>

#include "core/base/clock.h"

namespace millrace::broker {

// Maps each worker instance to the connection on which it was last heard. The ROUTER gives a worker
// that reconnects another name, so every message that names its instance updates the book. Owned
// by the broker's loop.
class PeerBook {
 public:
  // Ignores late messages of a connection that has closed: the worker may have come back on another
  // one long ago.
  void Learn(const std::string& instance, const std::string& peer, MonotonicTime now);
  // Notes that a connection has closed. Returns the instances that were last heard on it.
  std::vector<std::string> Close(const std::string& peer, MonotonicTime now);

  // Returns nullptr for an instance that was never heard or has long been silent.
  const std::string* Find(const std::string& instance) const;
  // Returns true if the connection has closed. Connections that closed long ago are forgotten.
  bool IsClosed(const std::string& peer) const { return closed_.contains(peer); }
  // Returns true if the connection on which the instance was last heard is still open.
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
