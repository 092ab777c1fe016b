#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "api/http_server/message.h"

namespace millrace::http {

// The way the end of an answer's body is told to the client.
enum class Framing {
  kNone,     // there is no body by definition: 204, 304
  kLength,   // Content-Length
  kChunked,  // Transfer-Encoding: chunked
  kClose,    // the end of the connection: streams to HTTP/1.0
};

struct ResponseHead {
  int status = 200;
  Headers headers = {};
  Framing framing = Framing::kLength;
  uint64_t content_length = 0;  // for kLength
};

// False if a field would break the head apart (CR, LF or NUL in it, or a name that is no token) or
// is one of those that belong to the server.
bool FieldsAreLegal(const Headers& headers);

struct ConnectionTerms {
  bool keep_alive = true;
  bool http10 = false;
};

// The status line and all fields up to the empty line.
std::string Serialized(const ResponseHead& head, const ConnectionTerms& terms);

}  // namespace millrace::http
