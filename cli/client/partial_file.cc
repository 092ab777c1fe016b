#include "cli/client/partial_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <string>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/id.h"

namespace millrace::cli {
namespace {

constexpr mode_t kMode = 0644;

std::filesystem::path FolderOf(const std::filesystem::path& target) {
  return target.has_parent_path() ? target.parent_path() : ".";
}

// Opens a file without a name. Returns none if the file system cannot do that, or /proc is missing.
UniqueFd OpenNameless(const std::filesystem::path& folder) {
  if (access("/proc/self/fd", X_OK) != 0) return {};
  return UniqueFd(open(folder.c_str(), O_TMPFILE | O_WRONLY | O_CLOEXEC, kMode));
}

// Returns a hidden, unused name beside the target.
std::filesystem::path OwnNameFor(const std::filesystem::path& target) {
  constexpr size_t kMostOfName = 200;  // of the 255 bytes that a name may have
  return FolderOf(target) / NewId("." + target.filename().string().substr(0, kMostOfName) + ".");
}

void RenameToFreeName(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (renameat2(AT_FDCWD, from.c_str(), AT_FDCWD, to.c_str(), RENAME_NOREPLACE) == 0) return;
  // A file system without RENAME_NOREPLACE has hard links, which do not replace a file either.
  if (errno == EINVAL && link(from.c_str(), to.c_str()) == 0) {
    unlink(from.c_str());
    return;
  }
  if (errno != EEXIST) ThrowStorageError(errno, "name", to);
  throw Error(ErrorCode::kInvalidRequest, "there is a file " + to.string() + " already");
}

}  // namespace

PartialFile::PartialFile(const std::filesystem::path& target)
    : target_(target), part_(OwnNameFor(target)) {
  CreateFolders(FolderOf(target));
  file_ = OpenNameless(FolderOf(target));
  if (file_) return;
  file_.Reset(open(part_.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, kMode));
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

void PartialFile::Keep(IfThere if_there) {
  if (!named_) {
    const std::string nameless = "/proc/self/fd/" + std::to_string(file_.get());
    if (linkat(AT_FDCWD, nameless.c_str(), AT_FDCWD, part_.c_str(), AT_SYMLINK_FOLLOW) != 0) {
      ThrowStorageError(errno, "name", part_);
    }
    named_ = true;
  }
  file_.Reset();
  if (if_there == IfThere::kRefuse) {
    RenameToFreeName(part_, target_);
  } else {
    Rename(part_, target_);
  }
  named_ = false;
}

}  // namespace millrace::cli
