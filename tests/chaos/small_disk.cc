#include "tests/chaos/small_disk.h"

#include <fcntl.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>

#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace::chaos {
namespace {

constexpr const char* kBallast = "ballast";
constexpr int64_t kPageBytes = 4096;

int64_t FreeBytes(int fd) {
  struct statvfs disk {};
  if (fstatvfs(fd, &disk) != 0) ThrowStorageError(errno, "statvfs", kBallast);
  return static_cast<int64_t>(disk.f_bavail * disk.f_bsize);
}

}  // namespace

bool KeepMountsToOurselves() {
  return unshare(CLONE_NEWNS) == 0 &&
         mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) == 0;
}

SmallDisk::SmallDisk(std::filesystem::path folder, int64_t bytes) : folder_(std::move(folder)) {
  CreateFolders(folder_);
  const std::string options = "size=" + std::to_string(bytes);
  mounted_ = mount("millrace-chaos", folder_.c_str(), "tmpfs", 0, options.c_str()) == 0;
}

SmallDisk::~SmallDisk() {
  if (mounted_) umount2(folder_.c_str(), MNT_DETACH);
}

int64_t SmallDisk::Fill(int64_t bytes_left) {
  const std::filesystem::path file = folder_ / kBallast;
  const UniqueFd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
  if (!fd) ThrowStorageError(errno, "open", file);
  // Other programs write at the same time, so ask for smaller parts once a larger one fails.
  int64_t at = 0;
  int64_t wanted = FreeBytes(fd.get()) - bytes_left;
  while (wanted >= kPageBytes) {
    if (fallocate(fd.get(), 0, at, wanted) == 0) {
      at += wanted;
      wanted = FreeBytes(fd.get()) - bytes_left;
    } else {
      wanted /= 2;
    }
  }
  return FreeBytes(fd.get());
}

void SmallDisk::Relieve() { unlink((folder_ / kBallast).c_str()); }

}  // namespace millrace::chaos
