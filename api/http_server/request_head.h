#pragma once

#include <cstddef>
#include <optional>
#include <string_view>
#include <variant>

#include "api/http_server/limits.h"
#include "api/http_server/message.h"
#include "api/http_server/problem.h"

namespace millrace::http {

// Finds the end of a request's head as its bytes arrive. Each byte is looked at once, however the
// client cuts its packets.
class HeadScanner {
 public:
  enum class State { kIncomplete, kComplete, kMalformed };

  // `input` starts at the head's first byte and only grows between calls.
  State Scan(std::string_view input);
  // The head with its final empty line. REQUIRES: the last Scan was kComplete.
  size_t head_bytes() const { return scanned_; }
  bool request_line_complete() const { return line_start_ > 0; }
  void Reset() { *this = HeadScanner(); }

 private:
  size_t scanned_ = 0;
  size_t line_start_ = 0;
};

// A head that passed all checks of framing.
struct RequestHead {
  Request request;  // all but the body and the path parameters
  bool keep_alive = true;
  bool expects_continue = false;
};

// A head that did not. The connection cannot be used further: where the next request would begin is
// unknown.
struct BadHead {
  Problem problem;
  bool is_head = false;  // the answer then has no body
};

// Parses a complete head (RFC 9112), strictly: whatever two parties could read in two ways is
// refused, because request smuggling lives there. Only the fields that decide framing are
// interpreted; any other field reaches the handler as sent, however odd its value.
std::variant<RequestHead, BadHead> ParseHead(std::string_view head, const Limits& limits);

}  // namespace millrace::http
