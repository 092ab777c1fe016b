#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/model/task.h"

namespace millrace::broker {

// What lies in the media store, and how it leaves it: for whoever keeps house. Which of it is still
// needed is the ledger's to say; this knows only folders. It lists nothing and removes nothing
// whose name is not one that Millrace gives, so that what somebody else put there stays.
// Thread-safe. Every method throws Error{kStorageError} where the system refuses; what vanishes
// meanwhile is no error. All of them may take as long as the disk takes.
class MediaInventory {
 public:
  struct WorkFolder {
    std::string task;
    Fence fence = 0;
    WallTime changed_at{};  // when its attempt began, or anything was added or removed at its top
  };
  struct OutputFolder {
    std::string job;
    Fence fence = 0;
  };
  struct UploadFolder {
    std::string id;
    WallTime created_at{};
  };

  // The same folder that the media store was opened with.
  explicit MediaInventory(const std::filesystem::path& data_dir);

  std::vector<WorkFolder> ListWork() const;
  std::vector<OutputFolder> ListOutputs() const;
  std::vector<std::string> ListDeadLetters() const;  // ids of jobs
  std::vector<UploadFolder> ListUploads() const;

  // Each makes the thing vanish as a whole before it is taken apart, so that no reader meets half
  // of it. What was interrupted is finished by SweepPartials.
  void RemoveWork(const std::string& task, Fence fence) const;
  // Those of one attempt, and of all of them.
  void RemoveOutputs(const std::string& job, Fence fence) const;
  void RemoveOutputs(const std::string& job) const;
  void RemoveDeadLetter(const std::string& job) const;
  void RemoveUpload(const std::string& id) const;

  // Removes uploads and dead letters that were never finished, and remains of removals, if nothing
  // was added to them since `older_than`. Returns how many.
  int SweepPartials(WallTime older_than) const;

  // What is free on the disk for Millrace's user.
  int64_t FreeBytes() const;

 private:
  const std::filesystem::path uploads_;
  const std::filesystem::path work_;
  const std::filesystem::path outputs_;
  const std::filesystem::path dead_letters_;
};

}  // namespace millrace::broker
