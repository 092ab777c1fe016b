#include "cli/base/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>

namespace millrace::cli {
namespace {

struct CodePoint {
  char32_t value = 0;
  size_t bytes = 1;
};

// Reads the first code point of `text`; nullopt if it is malformed. REQUIRES: `text` is not empty.
std::optional<CodePoint> Decode(std::string_view text) {
  const auto lead = static_cast<unsigned char>(text.front());
  if (lead < 0x80) return CodePoint{lead, 1};
  const size_t bytes = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : lead >= 0xC2 ? 2 : 0;
  if (bytes == 0 || lead > 0xF4 || text.size() < bytes) return std::nullopt;
  char32_t value = lead & (0xFFU >> (bytes + 1));
  for (size_t i = 1; i < bytes; ++i) {
    const auto next = static_cast<unsigned char>(text[i]);
    if ((next & 0xC0) != 0x80) return std::nullopt;
    value = (value << 6) | (next & 0x3FU);
  }
  constexpr std::array<char32_t, 5> kSmallest = {0, 0, 0x80, 0x800, 0x10000};
  const bool surrogate = value >= 0xD800 && value <= 0xDFFF;
  if (value < kSmallest.at(bytes) || value > 0x10FFFF || surrogate) return std::nullopt;
  return CodePoint{value, bytes};
}

bool IsControl(char32_t c) {
  const bool direction = (c >= 0x202A && c <= 0x202E) || (c >= 0x2066 && c <= 0x2069);
  return c < 0x20 || (c >= 0x7F && c < 0xA0) || direction;
}

// Knows the ranges of Unicode's East Asian Width W and F that occur in file names, and the common
// combining marks and joiners.
int ColumnsOf(char32_t c) {
  const auto in = [c](char32_t low, char32_t high) { return c >= low && c <= high; };
  if (in(0x300, 0x36F) || in(0x200B, 0x200F) || in(0xFE00, 0xFE0F) || in(0x20D0, 0x20FF)) return 0;
  const bool wide = in(0x1100, 0x115F) || in(0x2E80, 0xA4CF) || in(0xAC00, 0xD7A3) ||
                    in(0xF900, 0xFAFF) || in(0xFE30, 0xFE6F) || in(0xFF00, 0xFF60) ||
                    in(0xFFE0, 0xFFE6) || in(0x1F300, 0x1F64F) || in(0x1F900, 0x1F9FF) ||
                    in(0x20000, 0x3FFFD);
  return wide ? 2 : 1;
}

std::string Masked(std::string_view text, char mask) {
  std::string result;
  while (!text.empty()) {
    const std::optional<CodePoint> point = Decode(text);
    if (!point || IsControl(point->value)) {
      result += mask;
    } else {
      result += text.substr(0, point->bytes);
    }
    text.remove_prefix(point ? point->bytes : 1);
  }
  return result;
}

}  // namespace

std::string FormatBytes(int64_t bytes) {
  constexpr std::array<std::string_view, 5> kUnits = {"kB", "MB", "GB", "TB", "PB"};
  if (bytes < 1000) return fmt::format("{} B", bytes);
  double value = static_cast<double>(bytes) / 1000;
  size_t unit = 0;
  while (value >= 999.95 && unit + 1 < kUnits.size()) {
    value /= 1000;
    ++unit;
  }
  return fmt::format("{:.1f} {}", value, kUnits.at(unit));
}

std::string FormatDuration(double seconds) {
  const auto whole = static_cast<int64_t>(std::llround(std::max(0.0, seconds)));
  if (whole < 3600) return fmt::format("{}:{:02}", whole / 60, whole % 60);
  return fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60);
}

std::string FormatShortDuration(double seconds) {
  return seconds < 60 ? fmt::format("{:.2f} s", seconds) : FormatDuration(seconds);
}

std::string Printable(std::string_view text) { return Masked(text, '?'); }

std::string SafeFileName(std::string_view name) {
  std::string safe = Masked(name, '_');
  std::ranges::replace_if(
      safe, [](char c) { return c == '/' || c == '\\'; }, '_');
  if (safe.starts_with('.') || safe.starts_with('-')) safe.front() = '_';
  return safe;
}

std::string ShellQuoted(std::string_view text) {
  constexpr std::string_view kHarmless =
      "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_@%+=:,./-";
  if (!text.empty() && text.find_first_not_of(kHarmless) == std::string_view::npos) {
    return std::string(text);
  }
  std::string quoted = "'";
  for (const char c : text) {
    if (c == '\'') {
      quoted += R"('\'')";
    } else {
      quoted += c;
    }
  }
  return quoted + "'";
}

int DisplayWidth(std::string_view text) {
  int width = 0;
  while (!text.empty()) {
    const std::optional<CodePoint> point = Decode(text);
    width += point ? ColumnsOf(point->value) : 1;
    text.remove_prefix(point ? point->bytes : 1);
  }
  return width;
}

std::string Truncated(std::string_view text, int width) {
  if (DisplayWidth(text) <= width) return std::string(text);
  if (width <= 0) return "";
  std::string result;
  int used = 1;  // the ellipsis
  while (!text.empty()) {
    const CodePoint point = Decode(text).value_or(CodePoint{'?', 1});
    used += ColumnsOf(point.value);
    if (used > width) break;
    result += text.substr(0, point.bytes);
    text.remove_prefix(point.bytes);
  }
  return result + "…";
}

std::string Padded(std::string_view text, int width) {
  std::string result = Truncated(text, width);
  result.append(static_cast<size_t>(std::max(0, width - DisplayWidth(result))), ' ');
  return result;
}

std::string FormatTable(const std::vector<std::vector<std::string>>& rows,
                        std::optional<int> columns) {
  constexpr int kGap = 2;
  constexpr int kLeastOfLast = 20;
  std::vector<int> widths;
  for (const auto& row : rows) {
    widths.resize(std::max(widths.size(), row.size()));
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], DisplayWidth(row[i]));
  }
  std::string table;
  for (const auto& row : rows) {
    std::string line;
    int used = 0;
    for (size_t i = 0; i + 1 < row.size(); ++i) {
      line += Padded(row[i], widths[i] + kGap);
      used += widths[i] + kGap;
    }
    if (!row.empty()) {
      line += columns ? Truncated(row.back(), std::max(kLeastOfLast, *columns - used)) : row.back();
    }
    line.erase(line.find_last_not_of(' ') + 1);
    table += line + "\n";
  }
  return table;
}

}  // namespace millrace::cli
