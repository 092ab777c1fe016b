#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace millrace::encode {

// What the process may still do once it reads bytes that a stranger sent.
struct SandboxOptions {
  std::string input_path;  // may be read
  std::string output_dir;  // files may be made, read, written and removed in it; empty: nowhere
  std::optional<uint64_t> max_file_bytes;
};

// Gives up for good, and for all threads that are started later: new privileges, core files, more
// than a few descriptors; every file but the input, the output folder and what the
// kernel tells of processors (Landlock); sockets, other
// programs and processes, signals to others, tracing, mounts, kernel interfaces (seccomp, EPERM).
// What the kernel does not offer is left out and said in the log. Must be called while the process
// has one thread. Throws Error{kInputUnreadable} or Error{kStorageError} if a path of the options
// is not there, Error{kInternal} if a part that the kernel does offer cannot be applied.
void EnterSandbox(const SandboxOptions& options);

}  // namespace millrace::encode
