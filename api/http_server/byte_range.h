#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

namespace millrace::http {

// A part of a file, in bytes.
struct ByteRange {
  uint64_t first = 0;
  uint64_t length = 0;
  friend bool operator==(const ByteRange&, const ByteRange&) = default;
};

// The part of a file that a Range field asks for (RFC 9110, section 14).
struct RangeDecision {
  enum class Kind { kWhole, kPart, kUnsatisfiable };
  Kind kind = Kind::kWhole;
  ByteRange part = {};  // for kPart
};

// A field that is malformed, in another unit or asks for several ranges is ignored, as the RFC
// allows: the client then gets the whole file, which serves it too.
RangeDecision DecideRange(std::string_view range_field, uint64_t file_bytes);

// True if `if_none_match` ("*" or a list) names `etag`, by weak comparison.
bool NoneMatchNames(std::string_view if_none_match, std::string_view etag);

// True if a Range may be honoured: If-Range is absent or equal to `etag` by strong comparison.
// Dates never match: files have no Last-Modified here.
bool IfRangeHolds(std::optional<std::string_view> if_range, std::string_view etag);

}  // namespace millrace::http
