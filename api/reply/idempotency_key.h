#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "api/http_server/message.h"

namespace millrace::api {

// The Idempotency-Key field (draft-ietf-httpapi-idempotency-key-header): lets a client repeat a
// request that was not answered without doing it twice.

// The key of the request: 1 to 255 visible ASCII characters, given bare or as a string of
// structured fields (RFC 8941: in quotes, with \" and \\ escaped); both forms of a text are the
// same key. Returns nullopt without the field. Throws Error{kInvalidRequest} for anything else.
std::optional<std::string> IdempotencyKeyOf(const http::Request& request);

// Lower-case hex, equal for bodies that are equal as JSON: the order of members, white space and
// how a number is written do not matter.
std::string FingerprintOf(const nlohmann::json& body);

// An id of the shape that NewId(prefix) makes, always the same for one key and prefix.
std::string IdFromKey(std::string_view prefix, std::string_view key);

}  // namespace millrace::api
