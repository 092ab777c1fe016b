#pragma once

#include <filesystem>

#include "core/base/files.h"

namespace millrace::broker {

// Keeps a second broker away from a data folder: an exclusive lock on <folder>/run/broker.lock for
// as long as this lives. The system releases it when the process ends, however it ends.
class DataLock {
 public:
  // Throws Error{kStorageError} naming the process that holds the lock.
  explicit DataLock(const std::filesystem::path& data_dir);

 private:
  FileDescriptor fd_;
};

}  // namespace millrace::broker
