#include "api/routes/dead_letter_files.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <memory>
#include <optional>
#include <system_error>

#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/log.h"

namespace millrace::api {
namespace {

// Far more than a report has; what is larger was not written by a broker.
constexpr int64_t kMaxReportBytes = 32 << 20;

// The path is for the log: clients are not told where files are.
[[noreturn]] void Refuse(int error, const std::string& path) {
  throw Error(ErrorCode::kStorageError, "the files of the dead letter cannot be read",
              {{"path", path}, {"error", std::generic_category().message(error)}});
}

bool IsPlainName(const std::string& name) {
  return !name.empty() && !name.starts_with('.') && name.find('/') == std::string::npos &&
         name.find('\0') == std::string::npos;
}

// Nullopt for what is no regular file.
std::optional<int64_t> BytesOf(int file) {
  struct stat facts {};
  if (::fstat(file, &facts) != 0 || !S_ISREG(facts.st_mode)) return std::nullopt;
  return facts.st_size;
}

std::string ReadAll(int file, int64_t bytes) {
  std::string text(static_cast<size_t>(bytes), '\0');
  size_t done = 0;
  while (done < text.size()) {
    const ssize_t got = ::read(file, text.data() + done, text.size() - done);
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) Refuse(errno, "report.json");
    if (got == 0) break;
    done += static_cast<size_t>(got);
  }
  text.resize(done);
  return text;
}

struct CloseFolder {
  void operator()(DIR* folder) const { ::closedir(folder); }
};

}  // namespace

DeadLetterFiles::DeadLetterFiles(const std::filesystem::path& folder)
    : folder_(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) {
  if (folder_ || errno == ENOENT || errno == ENOTDIR || errno == ELOOP) return;
  Refuse(errno, folder.string());
}

std::vector<DeadLetterFiles::File> DeadLetterFiles::List() const {
  std::vector<File> files;
  if (!folder_) return files;
  // A descriptor of its own: reading moves its position, and closing it would close ours.
  UniqueFd again(::openat(folder_.get(), ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (!again) {
    if (errno == ENOENT) return files;  // removed meanwhile
    Refuse(errno, "the folder");
  }
  const std::unique_ptr<DIR, CloseFolder> folder(::fdopendir(again.get()));
  if (folder == nullptr) Refuse(errno, "the folder");
  again.Release();
  while (const dirent* entry = ::readdir(folder.get())) {
    const std::string name = entry->d_name;
    struct stat facts {};
    if (!IsPlainName(name) ||
        ::fstatat(folder_.get(), name.c_str(), &facts, AT_SYMLINK_NOFOLLOW) != 0 ||
        !S_ISREG(facts.st_mode)) {
      continue;
    }
    files.push_back({.name = name, .bytes = facts.st_size});
  }
  std::ranges::sort(files, {}, &File::name);
  return files;
}

UniqueFd DeadLetterFiles::Open(const std::string& name) const {
  if (!folder_ || !IsPlainName(name)) return {};
  // O_NONBLOCK: opening a FIFO must not wait for its writer.
  UniqueFd file(
      ::openat(folder_.get(), name.c_str(), O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC));
  if (!file && errno != ENOENT && errno != ELOOP && errno != ENAMETOOLONG && errno != ENXIO) {
    Refuse(errno, name);
  }
  if (file && !BytesOf(file.get())) file.Reset();
  return file;
}

nlohmann::json DeadLetterFiles::Report() const {
  const UniqueFd file = Open("report.json");
  if (!file) return nullptr;
  const int64_t bytes = BytesOf(file.get()).value_or(0);
  nlohmann::json report;
  if (bytes <= kMaxReportBytes) {
    report = nlohmann::json::parse(ReadAll(file.get(), bytes), nullptr, /*allow_exceptions=*/false);
  }
  if (report.is_object()) return report;
  LogWarning("the report of a dead letter cannot be used", {{"bytes", bytes}});
  return nullptr;
}

std::string EtagOfFile(const UniqueFd& file) {
  struct stat facts {};
  ::fstat(file.get(), &facts);
  return fmt::format("\"{:x}-{:x}-{:x}.{:x}\"", facts.st_ino, facts.st_size, facts.st_mtim.tv_sec,
                     facts.st_mtim.tv_nsec);
}

}  // namespace millrace::api
