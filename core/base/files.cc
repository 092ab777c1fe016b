#include "core/base/files.h"

#include <fcntl.h>
#include <linux/fs.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <iterator>
#include <system_error>
#include <vector>

namespace millrace {
namespace {

constexpr size_t kCopyBytes = 1 << 20;

}  // namespace

void ThrowStorageError(int error_number, const std::string& operation,
                       const std::filesystem::path& path) {
  const bool full = error_number == ENOSPC || error_number == EDQUOT;
  throw Error(full ? ErrorCode::kStorageFull : ErrorCode::kStorageError,
              operation + " " + path.string() + ": " + std::strerror(error_number),
              {{"errno", error_number}, {"path", path.string()}});
}

UniqueFd CreateFile(const std::filesystem::path& path) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) ThrowStorageError(errno, "create", path);
  return UniqueFd(fd);
}

void WriteAll(int fd, std::span<const char> bytes, const std::filesystem::path& path) {
  while (!bytes.empty()) {
    const ssize_t written = ::write(fd, bytes.data(), bytes.size());
    if (written < 0) {
      if (errno == EINTR) continue;
      ThrowStorageError(errno, "write", path);
    }
    bytes = bytes.subspan(static_cast<size_t>(written));
  }
}

void SyncFile(int fd, const std::filesystem::path& path) {
  if (::fsync(fd) != 0) ThrowStorageError(errno, "sync", path);
}

void SyncFolder(const std::filesystem::path& folder) {
  const UniqueFd fd(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!fd) ThrowStorageError(errno, "open folder", folder);
  SyncFile(fd.get(), folder);
}

void SyncTree(const std::filesystem::path& folder) {
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.is_directory()) {
      SyncTree(entry.path());
    } else if (entry.is_regular_file()) {
      const UniqueFd fd(::open(entry.path().c_str(), O_RDONLY | O_CLOEXEC));
      if (!fd) ThrowStorageError(errno, "open", entry.path());
      SyncFile(fd.get(), entry.path());
    }
  }
  SyncFolder(folder);
}

void WriteFileDurably(const std::filesystem::path& path, std::string_view content) {
  std::filesystem::path partial = path;
  partial += ".partial";
  {
    const UniqueFd fd = CreateFile(partial);
    WriteAll(fd.get(), content, partial);
    SyncFile(fd.get(), partial);
  }
  Rename(partial, path);
  SyncFolder(path.parent_path());
}

void CopyFile(const std::filesystem::path& from, const std::filesystem::path& to,
              const std::stop_token& abandon) {
  const UniqueFd source(::open(from.c_str(), O_RDONLY | O_NOFOLLOW | O_CLOEXEC));
  if (!source) ThrowStorageError(errno, "open", from);
  // Refuses to overwrite: an existing file might be a hard link to the source.
  const UniqueFd target(::open(to.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644));
  if (!target) ThrowStorageError(errno, "create", to);
  if (::ioctl(target.get(), FICLONE, source.get()) == 0) return;
  std::vector<char> buffer(kCopyBytes);
  while (true) {
    if (abandon.stop_requested()) {
      throw Error(ErrorCode::kDraining, "copying " + from.string() + " was broken off");
    }
    const ssize_t read = ::read(source.get(), buffer.data(), buffer.size());
    if (read < 0 && errno == EINTR) continue;
    if (read < 0) ThrowStorageError(errno, "read", from);
    if (read == 0) return;
    WriteAll(target.get(), {buffer.data(), static_cast<size_t>(read)}, to);
  }
}

void LinkOrCopy(const std::filesystem::path& from, const std::filesystem::path& to,
                const std::stop_token& abandon) {
  if (::link(from.c_str(), to.c_str()) != 0) CopyFile(from, to, abandon);
}

std::string ReadWholeFile(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) ThrowStorageError(errno, "open", path);
  return {std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>()};
}

void Rename(const std::filesystem::path& from, const std::filesystem::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) {
    ThrowStorageError(errno, "rename " + from.string() + " to", to);
  }
}

void RemoveTree(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::remove_all(folder, error);
  if (error) ThrowStorageError(error.value(), "remove", folder);
}

void CreateFolders(const std::filesystem::path& folder) {
  std::error_code error;
  std::filesystem::create_directories(folder, error);
  if (error) ThrowStorageError(error.value(), "create folder", folder);
}

}  // namespace millrace
