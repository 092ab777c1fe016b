#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace millrace::broker {

// What failures that are alike have in common: the code, the stage and codec that failed, and what
// stays the same of the message when numbers, addresses, names and times in it are left out. So 500
// files that fail alike are one line to whoever looks after them.
struct FailureSignature {
  std::string id;  // 16 hex digits of the SHA-256 of `text`; stable across versions of Millrace
  std::string
      text;  // for people, e.g. "corrupt_media in decode of h264: error while decoding MB # #"
  std::string stage;  // from the error's context; empty: not known
  std::string codec;  // from the error's context; empty: not known
};

// Of the error that a job ended with. For `poison` it is that of the crash behind it
// (context.last_error).
FailureSignature SignatureOf(const Error& error);

// The message without what differs from one file to the next: numbers, hexadecimal numbers, quoted
// texts, paths and ids become '#'; runs of blanks become one; at most 160 bytes, cut between
// characters of UTF-8.
std::string StablePart(std::string_view message);

}  // namespace millrace::broker
