#include "cli/up/data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <string>

#include "core/base/error.h"

namespace millrace::cli {

DataLock::DataLock(const std::filesystem::path& data_dir) {
  const std::filesystem::path path = data_dir / "run" / "up.lock";
  CreateFolders(path.parent_path());
  file_.Reset(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!file_) ThrowStorageError(errno, "open", path);
  if (flock(file_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) ThrowStorageError(errno, "lock", path);
    std::array<char, 32> holder{};
    const ssize_t got = pread(file_.get(), holder.data(), holder.size() - 1, 0);
    const std::string pid(holder.data(), got > 0 ? static_cast<size_t>(got) : 0);
    throw Error(ErrorCode::kInternal,
                "the data folder " + data_dir.string() + " is in use by another 'millrace up'" +
                    (pid.empty() ? "" : " (process " + pid + ")") +
                    "; stop that one, or choose another folder with --data-dir");
  }
  const std::string pid = std::to_string(getpid());
  if (ftruncate(file_.get(), 0) != 0) ThrowStorageError(errno, "truncate", path);
  WriteAll(file_.get(), pid, path);
}

}  // namespace millrace::cli
