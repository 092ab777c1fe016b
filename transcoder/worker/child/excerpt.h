#pragma once

#include <cstdint>
#include <optional>

#include "core/base/error.h"
#include "core/model/task.h"

namespace millrace::worker {

// What is smaller is looked into as a whole.
inline constexpr int64_t kMinExcerptInputBytes = int64_t{1} << 20;

// About which moment of its input an excerpt is to be cut for whoever looks into a failed attempt.
// Returns nullopt if it would be of no use: the input is small, the failure was not about the
// media, or nobody knows where it was. The error may have been made up by a hostile file. Pure.
std::optional<ExcerptSpec> ExcerptFor(const Error& error, const EncodeSpec& spec,
                                      int64_t input_bytes);

}  // namespace millrace::worker
