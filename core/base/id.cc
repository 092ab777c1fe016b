#include "core/base/id.h"

#include <openssl/rand.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>

#include "core/base/error.h"

namespace millrace {
namespace {

constexpr size_t kUuidBytes = 16;

// Returns milliseconds since 1970 in the upper bits and a counter in the lower twelve. Grows with
// each call, so that the ids of one process sort in the order of their creation.
uint64_t NextTimestamp() {
  static std::atomic<uint64_t> last{0};
  const auto now = std::chrono::duration_cast<std::chrono::milliseconds>(
                       std::chrono::system_clock::now().time_since_epoch())
                       .count();
  const uint64_t earliest = static_cast<uint64_t>(now) << 12;
  uint64_t previous = last.load(std::memory_order_relaxed);
  uint64_t next = 0;
  do {
    next = std::max(earliest, previous + 1);
  } while (!last.compare_exchange_weak(previous, next, std::memory_order_relaxed));
  return next;
}

}  // namespace

std::string NewId(std::string_view prefix) {
  std::array<unsigned char, kUuidBytes> uuid{};
  if (RAND_bytes(uuid.data(), static_cast<int>(uuid.size())) != 1) {
    throw Error(ErrorCode::kInternal, "the system has no randomness to make an id from");
  }
  const uint64_t stamp = NextTimestamp();
  const uint64_t millis = stamp >> 12;
  for (int i = 0; i < 6; ++i) uuid[i] = static_cast<unsigned char>(millis >> (40 - 8 * i));
  uuid[6] = static_cast<unsigned char>(0x70 | ((stamp >> 8) & 0x0f));  // version 7
  uuid[7] = static_cast<unsigned char>(stamp & 0xff);
  uuid[8] = static_cast<unsigned char>(0x80 | (uuid[8] & 0x3f));  // RFC 9562 variant

  static constexpr std::string_view kHex = "0123456789abcdef";
  std::string id(prefix);
  id.reserve(prefix.size() + 2 * kUuidBytes);
  for (const unsigned char byte : uuid) {
    id += kHex[byte >> 4];
    id += kHex[byte & 0x0f];
  }
  return id;
}

bool IsId(std::string_view id, std::string_view prefix) {
  if (!id.starts_with(prefix)) return false;
  id.remove_prefix(prefix.size());
  return id.size() == 2 * kUuidBytes && std::ranges::all_of(id, [](char c) {
           return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');
         });
}

}  // namespace millrace
