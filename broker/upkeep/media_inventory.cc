#include "broker/upkeep/media_inventory.h"

#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <functional>
#include <optional>
#include <string_view>
#include <system_error>

#include "core/base/files.h"
#include "core/base/id.h"

namespace millrace::broker {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kPartial = ".partial-";

// Visits the names in a folder; none if the folder is missing.
void ForEachName(const fs::path& folder, const std::function<void(const std::string&)>& visit) {
  std::error_code error;
  fs::directory_iterator entries(folder, error);
  while (!error && entries != fs::directory_iterator()) {
    visit(entries->path().filename().string());
    entries.increment(error);
  }
  if (error && error != std::errc::no_such_file_or_directory) {
    ThrowStorageError(error.value(), "list", folder);
  }
}

// Returns nullopt if the path is gone.
std::optional<WallTime> ChangedAt(const fs::path& path) {
  struct stat facts {};
  if (::lstat(path.c_str(), &facts) != 0) {
    if (errno == ENOENT) return std::nullopt;
    ThrowStorageError(errno, "look at", path);
  }
  return WallTime(std::chrono::seconds(facts.st_mtim.tv_sec) +
                  std::chrono::microseconds(facts.st_mtim.tv_nsec / 1000));
}

std::optional<Fence> ParseFence(std::string_view text) {
  Fence fence = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), fence);
  if (text.empty() || error != std::errc() || end != text.data() + text.size() || fence < 0) {
    return std::nullopt;
  }
  return fence;
}

// Renames the folder out of its place, then deletes it.
void RemoveWhole(const fs::path& folder, const std::string& partial_name) {
  const fs::path remains = folder.parent_path() / (std::string(kPartial) + partial_name);
  if (::rename(folder.c_str(), remains.c_str()) != 0) {
    if (errno == ENOENT) return;
    // The remains of an earlier removal are in the way.
    RemoveTree(remains);
    Rename(folder, remains);
  }
  RemoveTree(remains);
}

}  // namespace

MediaInventory::MediaInventory(const fs::path& data_dir)
    : uploads_(data_dir / "uploads"),
      work_(data_dir / "work"),
      outputs_(data_dir / "outputs"),
      dead_letters_(data_dir / "dead-letter") {}

std::vector<MediaInventory::WorkFolder> MediaInventory::ListWork() const {
  std::vector<WorkFolder> folders;
  ForEachName(work_, [&](const std::string& name) {
    const size_t dot = name.rfind('.');
    if (dot == std::string::npos || dot == 0) return;
    const std::optional<Fence> fence = ParseFence(std::string_view(name).substr(dot + 1));
    if (!fence) return;
    if (const std::optional<WallTime> changed_at = ChangedAt(work_ / name)) {
      folders.push_back({.task = name.substr(0, dot), .fence = *fence, .changed_at = *changed_at});
    }
  });
  return folders;
}

std::vector<MediaInventory::OutputFolder> MediaInventory::ListOutputs() const {
  std::vector<OutputFolder> folders;
  ForEachName(outputs_, [&](const std::string& job) {
    if (!IsId(job, "job_")) return;
    ForEachName(outputs_ / job, [&](const std::string& name) {
      if (const std::optional<Fence> fence = ParseFence(name)) {
        folders.push_back({.job = job, .fence = *fence});
      }
    });
  });
  return folders;
}

std::vector<std::string> MediaInventory::ListDeadLetters() const {
  std::vector<std::string> jobs;
  ForEachName(dead_letters_, [&](const std::string& name) {
    if (IsId(name, "job_")) jobs.push_back(name);
  });
  return jobs;
}

std::vector<MediaInventory::UploadFolder> MediaInventory::ListUploads() const {
  std::vector<UploadFolder> folders;
  ForEachName(uploads_, [&](const std::string& name) {
    if (!IsId(name, "upl_")) return;
    // The file with the facts is added to an upload last.
    if (const std::optional<WallTime> created_at = ChangedAt(uploads_ / name)) {
      folders.push_back({.id = name, .created_at = *created_at});
    }
  });
  return folders;
}

void MediaInventory::RemoveWork(const std::string& task, Fence fence) const {
  RemoveTree(work_ / (task + "." + std::to_string(fence)));
}

void MediaInventory::RemoveOutputs(const std::string& job, Fence fence) const {
  const fs::path folder = outputs_ / job;
  RemoveWhole(folder / std::to_string(fence), std::to_string(fence));
  // Remove the parent only if it is empty now.
  if (::rmdir(folder.c_str()) != 0 && errno != ENOTEMPTY && errno != EEXIST && errno != ENOENT) {
    ThrowStorageError(errno, "remove", folder);
  }
}

void MediaInventory::RemoveOutputs(const std::string& job) const {
  RemoveWhole(outputs_ / job, job);
}

void MediaInventory::RemoveDeadLetter(const std::string& job) const {
  RemoveWhole(dead_letters_ / job, "removed-" + job);
}

void MediaInventory::RemoveUpload(const std::string& id) const {
  RemoveWhole(uploads_ / id, "removed-" + id);
}

int MediaInventory::SweepPartials(WallTime older_than) const {
  int removed = 0;
  for (const fs::path& folder : {uploads_, outputs_, dead_letters_}) {
    ForEachName(folder, [&](const std::string& name) {
      if (!name.starts_with(kPartial)) return;
      const std::optional<WallTime> changed_at = ChangedAt(folder / name);
      if (!changed_at || *changed_at >= older_than) return;
      RemoveTree(folder / name);
      ++removed;
    });
  }
  return removed;
}

int64_t MediaInventory::FreeBytes() const {
  struct statvfs facts {};
  if (::statvfs(outputs_.c_str(), &facts) != 0) ThrowStorageError(errno, "look at", outputs_);
  return static_cast<int64_t>(facts.f_bavail) * static_cast<int64_t>(facts.f_frsize);
}

}  // namespace millrace::broker
