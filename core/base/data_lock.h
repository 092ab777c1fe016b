#pragma once

#include <filesystem>
#include <string>

#include "core/base/unique_fd.h"

namespace millrace {

struct DataLockOptions {
  std::filesystem::path data_dir;
  std::string file;    // the name of the locked file below <data_dir>/run
  std::string holder;  // the program as the error names it, e.g. "millrace-broker"
};

// Keeps a second process of one kind away from a data folder: holds an exclusive lock on a file in
// it. The kernel releases the lock when the process ends, however it ends. Owned by one thread.
class DataLock {
 public:
  // Creates the file and its folder where they are missing, and writes this process's id into it.
  // Throws Error{kStorageError} naming the process that holds the lock.
  explicit DataLock(const DataLockOptions& options);

 private:
  UniqueFd file_;
};

}  // namespace millrace
