#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/model/task.h"

namespace millrace::broker {

// Lists and removes stored media; used by the janitor. It knows only folders: the ledger decides
// which of them are still needed. It ignores names that Millrace does not give, so that foreign
// files stay. Thread-safe. Every method throws Error{kStorageError} if the system refuses; an item
// that vanishes meanwhile is no error. Any method may block for as long as the disk does.
class MediaInventory {
 public:
  struct WorkFolder {
    std::string task;
    Fence fence = 0;
    WallTime changed_at{};  // start of its attempt, or last change at its top level
  };
  struct OutputFolder {
    std::string job;
    Fence fence = 0;
  };
  struct UploadFolder {
    std::string id;
    WallTime created_at{};
  };

  // REQUIRES: `data_dir` is the folder that the media store was opened with.
  explicit MediaInventory(const std::filesystem::path& data_dir);

  std::vector<WorkFolder> ListWork() const;
  std::vector<OutputFolder> ListOutputs() const;
  std::vector<std::string> ListDeadLetters() const;  // ids of jobs
  std::vector<UploadFolder> ListUploads() const;

  // Each first makes the item vanish as a whole and then deletes it, so that no reader meets half
  // of it. SweepPartials finishes interrupted removals.
  void RemoveWork(const std::string& task, Fence fence) const;
  // Remove the outputs of one attempt, or of all attempts.
  void RemoveOutputs(const std::string& job, Fence fence) const;
  void RemoveOutputs(const std::string& job) const;
  void RemoveDeadLetter(const std::string& job) const;
  void RemoveUpload(const std::string& id) const;

  // Removes unfinished uploads and dead letters, and the remains of removals, if nothing was added
  // to them since `older_than`. Returns the number removed.
  int SweepPartials(WallTime older_than) const;

  // Returns the free disk space available to Millrace's user.
  int64_t FreeBytes() const;

 private:
  const std::filesystem::path uploads_;
  const std::filesystem::path work_;
  const std::filesystem::path outputs_;
  const std::filesystem::path dead_letters_;
};

}  // namespace millrace::broker
