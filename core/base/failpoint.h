#pragma once

#include <string_view>

namespace millrace {

// Marks a named place at which a test can make the program die or fail, e.g. between two durable
// steps. Does nothing unless the environment variable MILLRACE_FAILPOINTS names the place:
//
//   MILLRACE_FAILPOINTS="broker.after_commit=crash@3;broker.during_publish=error"
//
// `crash` ends the process at once as SIGKILL would (no destructor, no flush), `error` throws
// Error{kStorageError}; `@N` acts at the Nth pass only (default: the first). Reads the variable at
// the first place that is passed, logs it as a warning, and ends the process with an explanation if
// it is malformed. Thread-safe; costs one load where the variable is not set.
void Failpoint(std::string_view name);

}  // namespace millrace
