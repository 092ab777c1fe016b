#include "core/base/id.h"

#include <openssl/rand.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <span>

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

// Buffers random bytes for many ids: a call of OpenSSL's generator has a high fixed cost.
// Owned and used by one thread.
class RandomStock {
 public:
  void Take(std::span<unsigned char> bytes) {
    // A forked child must not use the bytes that its parent has as well.
    const pid_t self = getpid();
    if (left_ < bytes.size() || owner_ != self) Refill(self);
    std::copy_n(stock_.end() - static_cast<std::ptrdiff_t>(left_), bytes.size(), bytes.begin());
    left_ -= bytes.size();
  }

 private:
  void Refill(pid_t self) {
    left_ = 0;
    if (RAND_bytes(stock_.data(), static_cast<int>(stock_.size())) != 1) {
      throw Error(ErrorCode::kInternal, "the system has no randomness to make an id from");
    }
    left_ = stock_.size();
    owner_ = self;
  }

  std::array<unsigned char, 128 * kUuidBytes> stock_{};
  size_t left_ = 0;
  pid_t owner_ = 0;
};

}  // namespace

std::string NewId(std::string_view prefix) {
  static thread_local RandomStock random;
  std::array<unsigned char, kUuidBytes> uuid{};
  random.Take(uuid);
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
