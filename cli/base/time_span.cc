#include "cli/base/time_span.h"

#include <array>
#include <cctype>
#include <charconv>
#include <cstdint>
#include <optional>
#include <utility>

#include "core/base/error.h"

namespace millrace::cli {
namespace {

using std::chrono::seconds;

constexpr int64_t kMostSeconds = int64_t{100} * 366 * 86'400;

std::optional<seconds> SpanOf(std::string_view text) {
  constexpr std::array<std::pair<std::string_view, int64_t>, 6> kUnits = {
      {{"s", 1}, {"m", 60}, {"min", 60}, {"h", 3'600}, {"d", 86'400}, {"w", 604'800}}};
  int64_t count = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
  if (error != std::errc() || count < 0) return std::nullopt;
  const std::string_view unit(end, static_cast<size_t>(text.data() + text.size() - end));
  for (const auto& [name, length] : kUnits) {
    if (unit == name && count <= kMostSeconds / length) return seconds(count * length);
  }
  return std::nullopt;
}

// Splits "…+01:30" into the same text with Z in place of the offset, and the seconds by which local
// time is ahead. Returns nullopt for text without an offset.
std::optional<std::pair<std::string, seconds>> OffsetOf(std::string_view text) {
  constexpr size_t kLength = 6;
  if (text.size() < kLength) return std::nullopt;
  const std::string_view offset = text.substr(text.size() - kLength);
  const auto digit = [offset](size_t at) {
    return std::isdigit(static_cast<unsigned char>(offset[at])) != 0;
  };
  const bool shaped = (offset[0] == '+' || offset[0] == '-') && offset[3] == ':' && digit(1) &&
                      digit(2) && digit(4) && digit(5);
  if (!shaped) return std::nullopt;
  const int hours = (offset[1] - '0') * 10 + offset[2] - '0';
  const int minutes = (offset[4] - '0') * 10 + offset[5] - '0';
  if (hours > 23 || minutes > 59) return std::nullopt;
  const seconds ahead((hours * 60 + minutes) * 60);
  return std::pair(std::string(text.substr(0, text.size() - kLength)) + "Z",
                   offset[0] == '+' ? ahead : -ahead);
}

}  // namespace

WallTime PointInTime(std::string_view text, WallTime now, const std::string& option) {
  if (const auto span = SpanOf(text)) return now - *span;
  try {
    if (const auto local = OffsetOf(text)) return ParseTime(local->first) - local->second;
    return ParseTime(text);
  } catch (const Error&) {
    throw Error(ErrorCode::kInvalidRequest,
                option +
                    " takes a time such as 2026-11-25T22:15:00Z, or a span back from now such " +
                    "as 30min, 2h or 3d, not '" + std::string(text) + "'");
  }
}

}  // namespace millrace::cli
