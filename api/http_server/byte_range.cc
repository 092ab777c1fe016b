#include "api/http_server/byte_range.h"

#include <algorithm>
#include <charconv>

#include "api/http_server/message.h"

namespace millrace::http {
namespace {

// Returns nullopt unless all of `text` is one decimal number.
std::optional<uint64_t> Number(std::string_view text) {
  uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc::result_out_of_range && end == text.data() + text.size()) {
    return UINT64_MAX;
  }
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

RangeDecision Suffix(std::string_view count_text, uint64_t file_bytes) {
  const auto count = Number(count_text);
  if (!count) return {};
  if (*count == 0 || file_bytes == 0) return {.kind = RangeDecision::Kind::kUnsatisfiable};
  const uint64_t length = std::min(*count, file_bytes);
  return {.kind = RangeDecision::Kind::kPart,
          .part = {.first = file_bytes - length, .length = length}};
}

std::string_view WithoutWeakMark(std::string_view etag) {
  if (etag.starts_with("W/")) etag.remove_prefix(2);
  return etag;
}

}  // namespace

RangeDecision DecideRange(std::string_view range_field, uint64_t file_bytes) {
  constexpr std::string_view kUnit = "bytes=";
  if (range_field.size() < kUnit.size() ||
      !EqualsIgnoringCase(range_field.substr(0, kUnit.size()), kUnit)) {
    return {};
  }
  const auto spec = TrimmedOws(range_field.substr(kUnit.size()));
  const auto dash = spec.find('-');
  if (dash == std::string_view::npos) return {};
  if (dash == 0) return Suffix(spec.substr(1), file_bytes);

  const auto first = Number(spec.substr(0, dash));
  const auto last_text = spec.substr(dash + 1);
  const auto last = last_text.empty() ? std::optional<uint64_t>(UINT64_MAX) : Number(last_text);
  if (!first || !last || *last < *first) return {};
  if (*first >= file_bytes) return {.kind = RangeDecision::Kind::kUnsatisfiable};
  return {.kind = RangeDecision::Kind::kPart,
          .part = {.first = *first, .length = std::min(*last, file_bytes - 1) - *first + 1}};
}

bool NoneMatchNames(std::string_view if_none_match, std::string_view etag) {
  if (TrimmedOws(if_none_match) == "*") return true;
  if (etag.empty()) return false;
  while (!if_none_match.empty()) {
    // An entity tag may hold a comma, so the list is cut at the closing quotes.
    const auto open = if_none_match.find('"');
    if (open == std::string_view::npos) return false;
    const auto close = if_none_match.find('"', open + 1);
    if (close == std::string_view::npos) return false;
    if (if_none_match.substr(open, close - open + 1) == WithoutWeakMark(etag)) return true;
    if_none_match.remove_prefix(close + 1);
  }
  return false;
}

bool IfRangeHolds(std::optional<std::string_view> if_range, std::string_view etag) {
  if (!if_range) return true;
  return !etag.empty() && !etag.starts_with("W/") && *if_range == etag;
}

}  // namespace millrace::http
