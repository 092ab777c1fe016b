#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace millrace::encode {

// The rights that remain while the process reads bytes from a stranger.
struct SandboxOptions {
  std::string input_path;  // may be read
  std::string output_dir;  // files may be made, read, written and removed in it; empty: nowhere
  std::optional<uint64_t> max_file_bytes;
};

// Gives up rights for good, for this thread and all that it starts: new privileges, core files,
// more than a few descriptors; every file but the input, the output folder and the kernel's
// description of the processors (Landlock); sockets, other programs and processes, signals to
// others, tracing, mounts, kernel interfaces (seccomp, EPERM). Logs and skips what the kernel does
// not offer. REQUIRES: the process has one thread. Throws Error{kInputUnreadable} or
// Error{kStorageError} if a path of the options does not exist, Error{kInternal} if the kernel
// refuses a part that it offers.
void EnterSandbox(const SandboxOptions& options);

}  // namespace millrace::encode
