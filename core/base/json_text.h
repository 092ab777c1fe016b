#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>

namespace millrace {

// JSON as text. File names, and text out of media, need not be UTF-8: each wrong byte becomes
// U+FFFD, so that no message, record or log line fails because of one. Thread-safe.

// On one line, without spaces.
std::string ToText(const nlohmann::json& json);
// For people: indented by two spaces, without a line feed at the end.
std::string ToIndentedText(const nlohmann::json& json);

}  // namespace millrace
