#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::cli {

// Text for people in a terminal. Pure functions; widths are in terminal columns.

std::string FormatBytes(int64_t bytes);           // "1.4 MB"
std::string FormatDuration(double seconds);       // "0:07", "1:02:03"
std::string FormatShortDuration(double seconds);  // "1.96 s" below a minute, else as above

// Replaces control characters and malformed UTF-8 by '?': what a server or a file name says must
// not steer the terminal.
std::string Printable(std::string_view text);
// The same for a name that somebody else has chosen and that becomes one of a file here: what would
// hide it, lead out of the folder, or be an option has '_' in its place, too. May be empty.
std::string SafeFileName(std::string_view name);
// The text as one word of a POSIX shell, in quotes where it needs them.
std::string ShellQuoted(std::string_view text);

// The columns that printable UTF-8 takes: wide East Asian characters take two, combining ones none.
int DisplayWidth(std::string_view text);
// At most `width` columns of it, with "…" in place of what was cut off.
std::string Truncated(std::string_view text, int width);
// Filled up with spaces, or truncated, to exactly `width` columns.
std::string Padded(std::string_view text, int width);

// Columns aligned to their widest cell, two spaces apart, one line a row. With `columns` the last
// cell of each row is cut so that the line is no longer than that, but never to less than 20.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows,
                        std::optional<int> columns = std::nullopt);

}  // namespace millrace::cli
