#pragma once

#include <string_view>

namespace millrace {

// A named place in a program at which a test can make it die or fail, so that each moment between
// two durable steps can be met on purpose. Does nothing unless the environment variable
// MILLRACE_FAILPOINTS names the place:
//
//   MILLRACE_FAILPOINTS="broker.after_commit=crash@3;broker.during_publish=error"
//
// `crash` ends the process at once as SIGKILL would (no destructor, no flush), `error` throws
// Error{kStorageError}; `@N` waits for the Nth time (default: the first) and acts once. The
// variable is read when the first place is passed; a malformed one ends the process with a message
// that says what is wrong, and one that is set is logged as a warning. Thread-safe; costs one load
// where the variable is not set.
void Failpoint(std::string_view name);

}  // namespace millrace
