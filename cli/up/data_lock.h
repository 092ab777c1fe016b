#pragma once

#include <filesystem>

#include "core/base/files.h"

namespace millrace::cli {

// Says that this process runs the service on a data folder. The kernel lets go of it when the
// process ends, however that happens. Owned by `millrace up`.
class DataLock {
 public:
  // Creates <data_dir>/run/up.lock. Throws Error{kInternal} naming the process that holds it.
  explicit DataLock(const std::filesystem::path& data_dir);

 private:
  FileDescriptor file_;
};

}  // namespace millrace::cli
