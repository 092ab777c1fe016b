#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>

namespace millrace::chaos {

// Tells the preloaded library (fault_shim.cc) which operations on which files fail, and how far off
// the wall clock is. It lies in a file that the harness and every program map. Only the harness
// writes it, except for the counts of hits.
//
// This header does not depend on Millrace, so that the library does not either.

enum class ProgramKind : uint32_t { kBroker, kApi, kWorker, kEncode };
inline constexpr size_t kProgramKinds = 4;

enum FaultyOperation : uint32_t {
  kFailWrite = 1,  // write, pwrite, writev
  kFailSync = 2,   // fsync, fdatasync
  kFailName = 4,   // open to create, rename, link, mkdir
};

struct FaultRule {
  std::atomic<uint32_t> armed{0};       // read first: the rest is valid while it is 1
  std::atomic<uint32_t> programs{0};    // bit of each ProgramKind
  std::atomic<uint32_t> operations{0};  // of FaultyOperation
  std::atomic<int32_t> error{0};        // an errno
  std::atomic<uint32_t> per_million{0};
  std::atomic<uint64_t> hits{0};
  char prefix[256] = {};  // prefix of the absolute paths concerned; written while not armed
};

inline constexpr size_t kFaultRules = 4;

struct FaultControl {
  std::atomic<uint32_t> armed_rules{0};
  std::array<std::atomic<int64_t>, kProgramKinds> clock_offset_ns{};  // of the wall clock
  std::array<FaultRule, kFaultRules> rules{};
};
static_assert(std::atomic<uint64_t>::is_always_lock_free);

inline constexpr const char* kControlVariable = "MILLRACE_CHAOS_CONTROL";  // path of the file
inline constexpr const char* kProgramVariable = "MILLRACE_CHAOS_PROGRAM";  // number of a kind

}  // namespace millrace::chaos
