#include "core/base/data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

#include "core/base/error.h"
#include "core/base/files.h"

namespace millrace {
namespace {

std::string HolderOf(const std::filesystem::path& file) {
  std::string pid = ReadWholeFile(file);
  while (!pid.empty() && pid.back() == '\n') pid.pop_back();
  return pid.empty() ? "" : " (process " + pid + ")";
}

}  // namespace

DataLock::DataLock(const DataLockOptions& options) {
  const std::filesystem::path file = options.data_dir / "run" / options.file;
  CreateFolders(file.parent_path());
  file_.Reset(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file_) ThrowStorageError(errno, "open", file);
  if (::flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) ThrowStorageError(errno, "lock", file);
    throw Error(ErrorCode::kStorageError,
                "the data folder " + options.data_dir.string() + " is in use by another '" +
                    options.holder + "'" + HolderOf(file) +
                    "; stop that one, or choose another folder with --data-dir",
                {{"path", file.string()}});
  }
  // For the message above; the lock itself does not depend on it.
  if (::ftruncate(file_.get(), 0) != 0) ThrowStorageError(errno, "truncate", file);
  WriteAll(file_.get(), std::to_string(::getpid()) + "\n", file);
}

}  // namespace millrace
