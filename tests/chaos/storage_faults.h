#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <string>
#include <vector>

#include "tests/chaos/fault_control.h"

namespace millrace::chaos {

// A rule for operations to fail, until it is taken back.
struct StorageFault {
  std::filesystem::path below;  // absolute; matches this path and every path that begins with it
  uint32_t operations = kFailWrite | kFailSync | kFailName;
  int error = 0;                     // an errno
  uint32_t per_million = 1'000'000;  // of the operations
  std::initializer_list<ProgramKind> programs = {ProgramKind::kBroker, ProgramKind::kApi,
                                                 ProgramKind::kWorker, ProgramKind::kEncode};
};

// The harness's side of FaultControl: a file mapped here and by each program started with
// Environment(). Owned by the world; used by its thread.
class StorageFaults {
 public:
  // Throws Error if the file cannot be made.
  explicit StorageFaults(const std::filesystem::path& file);
  ~StorageFaults();
  StorageFaults(const StorageFaults&) = delete;
  StorageFaults& operator=(const StorageFaults&) = delete;

  // Returns "NAME=value" variables for a program of that kind.
  std::vector<std::string> Environment(ProgramKind kind) const;

  // Returns the number to pass to End(). REQUIRES: fewer than kFaultRules rules are in force.
  size_t Begin(const StorageFault& fault);
  // Returns the number of operations that the rule made fail.
  uint64_t End(size_t number);

  // Sets how far off the wall clock of these programs is from now on.
  void SetClock(ProgramKind kind, std::chrono::nanoseconds offset);

 private:
  const std::filesystem::path file_;
  FaultControl* control_ = nullptr;
};

}  // namespace millrace::chaos
