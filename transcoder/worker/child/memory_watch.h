#pragma once

#include <cstdint>
#include <filesystem>

namespace millrace::worker {

// Finds out whether the kernel kills processes of this worker for want of memory: reads the limits
// and the counter of the worker's own cgroup (version 1 or 2), else those of the machine.
// Used by the loop thread.
class MemoryWatch {
 public:
  // `root` is "/" except in tests.
  explicit MemoryWatch(const std::filesystem::path& root = "/");

  // The memory that the worker and its children may use together.
  int64_t limit_bytes() const { return limit_bytes_; }
  // How many processes the kernel has killed so far; only grows.
  int64_t OomKills() const;

 private:
  std::filesystem::path counter_;  // constant after construction
  int64_t limit_bytes_ = 0;        // constant after construction
};

}  // namespace millrace::worker
