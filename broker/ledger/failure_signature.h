#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

#include "core/base/error.h"

namespace millrace::broker {

// Identifies a kind of failure by its error code, stage, codec and the stable part of its message,
// which leaves out numbers, addresses, names and times. 500 files that fail alike thus appear to an
// operator as one line.
struct FailureSignature {
  std::string id;  // 16 hex digits of the SHA-256 of `text`; stable across versions of Millrace
  std::string
      text;  // for people, e.g. "corrupt_media in decode of h264: error while decoding MB # #"
  std::string stage;  // from the error's context; empty: not known
  std::string codec;  // from the error's context; empty: not known
};

// Returns the signature of the error that ended a job. For `poison`, uses the crash behind it
// (context.last_error).
FailureSignature SignatureOf(const Error& error);

// Returns the message without the parts that differ between files. Numbers, hexadecimal numbers,
// quoted texts, paths and ids become '#', and runs of blanks become one. The result has at most 160
// bytes and never splits a UTF-8 character.
std::string StablePart(std::string_view message);

}  // namespace millrace::broker
