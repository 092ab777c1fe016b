#pragma once

#include <string>
#include <unordered_map>

#include "core/clock.h"

namespace millrace {

// Which connection each worker instance was last heard on. A worker that reconnects gets another
// name from the ROUTER, so every message that names its instance teaches the book anew. Owned by
// the broker's loop.
class PeerBook {
 public:
  void Learn(const std::string& instance, const std::string& peer, MonotonicTime now);
  // Returns nullptr for an instance that was never heard or has long been silent.
  const std::string* Find(const std::string& instance) const;

 private:
  struct Entry {
    std::string peer;
    MonotonicTime heard;
  };

  void ForgetSilent(MonotonicTime now);

  std::unordered_map<std::string, Entry> entries_;
};

}  // namespace millrace
