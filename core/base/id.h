#pragma once

#include <string>
#include <string_view>

namespace millrace {

// Returns a new id: a prefix that says what it names, then a UUID of version 7 (RFC 9562) without
// dashes, e.g. "job_019ab3…". Ids are opaque to clients and sort by creation time. Thread-safe.
std::string NewId(std::string_view prefix);

inline std::string NewJobId() { return NewId("job_"); }
inline std::string NewTaskId() { return NewId("tsk_"); }
inline std::string NewUploadId() { return NewId("upl_"); }
inline std::string NewMessageId() { return NewId("msg_"); }

// Returns whether `id` has the shape of a result of NewId(prefix), and so is safe as a file name.
bool IsId(std::string_view id, std::string_view prefix);

}  // namespace millrace
