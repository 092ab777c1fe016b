#include "broker/io/data_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace millrace::broker {
namespace {

std::string HolderOf(const std::filesystem::path& file) {
  std::string holder = ReadWholeFile(file);
  while (!holder.empty() && holder.back() == '\n') holder.pop_back();
  return holder.empty() ? "another process" : "process " + holder;
}

}  // namespace

DataLock::DataLock(const std::filesystem::path& data_dir) {
  const std::filesystem::path file = data_dir / "run" / "broker.lock";
  CreateFolders(file.parent_path());
  fd_.Reset(::open(file.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0644));
  if (!fd_) ThrowStorageError(errno, "open", file);
  if (::flock(fd_.get(), LOCK_EX | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK) ThrowStorageError(errno, "lock", file);
    throw Error(ErrorCode::kStorageError,
                "the data folder " + data_dir.string() + " is already served by a broker (" +
                    HolderOf(file) + "): stop it, or choose another --data-dir",
                {{"path", file.string()}});
  }
  // For people and for the message above; the lock itself does not depend on it.
  if (::ftruncate(fd_.get(), 0) != 0) ThrowStorageError(errno, "truncate", file);
  WriteAll(fd_.get(), std::to_string(::getpid()) + "\n", file);
}

}  // namespace millrace::broker
