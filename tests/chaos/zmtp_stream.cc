#include "tests/chaos/zmtp_stream.h"

#include <algorithm>
#include <cstddef>
#include <cstdint>

namespace millrace::chaos {
namespace {

constexpr unsigned char kMore = 1;
constexpr unsigned char kLong = 2;
constexpr unsigned char kCommand = 4;

// Returns the size of the frame at `at` with its head; nullopt if the head is incomplete.
std::optional<size_t> FrameBytes(std::string_view bytes, size_t at) {
  if (bytes.size() < at + 2) return std::nullopt;
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(bytes[at + i]); };
  if ((byte(0) & kLong) == 0) return 2 + byte(1);
  if (bytes.size() < at + 9) return std::nullopt;
  uint64_t size = 0;
  for (size_t i = 1; i <= 8; ++i) size = size << 8 | byte(i);
  return 9 + size;
}

}  // namespace

std::optional<ZmtpStream::Unit> ZmtpStream::Next() {
  if (pending_.empty()) return std::nullopt;
  size_t end = 0;
  bool is_message = false;
  if (greeting_left_ > 0) {
    // Pass on the greeting in parts: each side waits for the start of the other's before it goes
    // on.
    end = std::min(greeting_left_, pending_.size());
    greeting_left_ -= end;
  } else {
    for (bool more = true; more;) {
      const auto bytes = FrameBytes(pending_, end);
      if (!bytes || pending_.size() < end + *bytes) return std::nullopt;
      const auto flags = static_cast<unsigned char>(pending_[end]);
      is_message = (flags & kCommand) == 0;
      more = is_message && (flags & kMore) != 0;
      end += *bytes;
    }
  }
  Unit unit{.bytes = pending_.substr(0, end), .is_message = is_message};
  pending_.erase(0, end);
  return unit;
}

}  // namespace millrace::chaos
