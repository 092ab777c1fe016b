#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http_server/message.h"

namespace millrace::http {

// Undoes percent-encoding once. Returns nullopt for a bad escape, and for a result with control
// characters or invalid UTF-8: no handler has to expect either in a name.
std::optional<std::string> PercentDecoded(std::string_view text);

struct RequestTarget {
  std::vector<std::string> segments;  // decoded; "/" is one empty segment
  Parameters query;                   // '+' is a space, as forms write it
};

// Takes origin form ("/a/b?c=d"), absolute form ("http://host/a/b") and "*" (no segments). Returns
// nullopt for what must not reach a handler: bad escapes, "." and ".." segments and encoded
// slashes, which would mean one path to us and another to a file system.
std::optional<RequestTarget> ParseTarget(std::string_view target);

}  // namespace millrace::http
