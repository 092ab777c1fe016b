#include "cli/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <string>

namespace millrace {
namespace {

constexpr mode_t kMode = 0644;

std::filesystem::path FolderOf(const std::filesystem::path& target) {
  return target.has_parent_path() ? target.parent_path() : ".";
}

// Empty where the file system, or a system without /proc, cannot make one.
FileDescriptor OpenNameless(const std::filesystem::path& folder) {
  if (access("/proc/self/fd", X_OK) != 0) return {};
  return FileDescriptor(open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kMode));
}

}  // namespace

PartialFile::PartialFile(const std::filesystem::path& target)
    : target_(target), part_(target.string() + ".part") {
  CreateFolders(FolderOf(target));
  file_ = OpenNameless(FolderOf(target));
  if (file_) return;
  file_.Reset(open(part_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, kMode));
  if (!file_) ThrowStorageError(errno, "create", part_);
  named_ = true;
}

PartialFile::~PartialFile() {
  if (named_) unlink(part_.c_str());
}

void PartialFile::MakeExecutable() {
  struct stat facts {};
  if (fstat(file_.get(), &facts) != 0) ThrowStorageError(errno, "stat", target_);
  const mode_t readable = facts.st_mode & 0444;
  if (fchmod(file_.get(), (facts.st_mode & 0777) | (readable >> 2)) != 0) {
    ThrowStorageError(errno, "chmod", target_);
  }
}

void PartialFile::Keep() {
  if (!named_) {
    unlink(part_.c_str());  // of an earlier program
    const std::string nameless = "/proc/self/fd/" + std::to_string(file_.get());
    if (linkat(AT_FDCWD, nameless.c_str(), AT_FDCWD, part_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      ThrowStorageError(errno, "name", part_);
    }
    named_ = true;
  }
  file_.Reset();
  Rename(part_, target_);
  named_ = false;
}

}  // namespace millrace
