#pragma once

#include <string>
#include <string_view>

namespace millrace {

// Ids are opaque to clients and sort by the time they were made: a prefix that says what the id
// names, then a UUID of version 7 (RFC 9562) without dashes, e.g. "job_019ab3…". Thread-safe.
std::string NewId(std::string_view prefix);

inline std::string NewJobId() { return NewId("job_"); }
inline std::string NewTaskId() { return NewId("tsk_"); }
inline std::string NewUploadId() { return NewId("upl_"); }
inline std::string NewMessageId() { return NewId("msg_"); }

// Whether `id` has the shape that NewId(prefix) makes. An id that has it is safe as a file name.
bool IsId(std::string_view id, std::string_view prefix);

}  // namespace millrace
