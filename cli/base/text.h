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

// Replaces control characters and malformed UTF-8 by '?', so that text of a server or a file name
// cannot control the terminal.
std::string Printable(std::string_view text);
// Makes a stranger's name safe for a local file: replaces characters by '_' that would steer the
// terminal, hide the file, lead out of the folder, or look like an option. May return "".
std::string SafeFileName(std::string_view name);
// Quotes the text, where needed, as one word of a POSIX shell.
std::string ShellQuoted(std::string_view text);

// Counts the columns of printable UTF-8: two for a wide East Asian character, none for a combining
// one.
int DisplayWidth(std::string_view text);
// Cuts the text to at most `width` columns, ending with "…" if anything was cut.
std::string Truncated(std::string_view text, int width);
// Pads the text with spaces, or truncates it, to exactly `width` columns.
std::string Padded(std::string_view text, int width);

// Aligns the cells of each column, two spaces apart, one line a row. Cuts the last cell of a row so
// that the line fits into `columns`, but leaves it at least 20 columns.
std::string FormatTable(const std::vector<std::vector<std::string>>& rows,
                        std::optional<int> columns = std::nullopt);

}  // namespace millrace::cli
