#pragma once

#include <cstdint>
#include <optional>

#include "core/base/error.h"
#include "core/model/task.h"

namespace millrace::worker {

// Smaller inputs get no excerpt: they can be examined as a whole.
inline constexpr int64_t kMinExcerptInputBytes = int64_t{1} << 20;

// The moment of the input around which to cut an excerpt of a failed attempt. Returns nullopt if an
// excerpt would be of no use: the input is small, the failure was not about the media, or its place
// is unknown. `error` may have been forged by a hostile file. Pure.
std::optional<ExcerptSpec> ExcerptFor(const Error& error, const EncodeSpec& spec,
                                      int64_t input_bytes);

}  // namespace millrace::worker
