#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/model/task.h"

namespace millrace {

// A file that a client has uploaded, complete and durable.
struct Upload {
  std::string id;
  std::string name;  // as the client called it; never used as a path
  int64_t bytes = 0;
  std::string sha256;
  WallTime created_at{};
};

nlohmann::json ToJson(const Upload& upload);

// Receives the bytes of one upload. Owned by one request, used by one thread. Destroying it before
// Commit() leaves nothing behind.
class UploadWriter {
 public:
  virtual ~UploadWriter() = default;
  // Throws Error{kStorageFull} or Error{kStorageError}.
  virtual void Write(std::span<const char> bytes) = 0;
  // Makes the upload durable and visible. Call it once; nothing may be written afterwards.
  virtual Upload Commit() = 0;
};

// The files that one task of a job has made, in its work folder.
struct TaskOutputs {
  std::string task;
  Fence fence = 0;
  Manifest manifest;
};

// The fence under which they are published together: the largest of theirs.
Fence PublishedFence(const std::vector<TaskOutputs>& made);

// What goes into a dead-letter folder.
struct DeadLetter {
  std::string job_id;
  nlohmann::json report;
  Input input;
  // Work folders of the job's attempts, oldest first; their logs are kept, and an excerpt.
  std::vector<std::pair<std::string, Fence>> attempts;
  // The task to repeat, as a task document, where no attempt has left its own; null: there is none.
  nlohmann::json task;
  // The error code with which millrace-encode ends if it reproduces the failure.
  std::string expected_code;
  // Ends the writing with Error{kDraining} soon after a request.
  std::stop_token abandon;
};

// Keeps the bytes of uploads, work folders, outputs and dead letters. Knows files alone; the ledger
// knows jobs and their states. Thread-safe. Every method throws Error{kStorageFull} if the disk is
// full, and Error{kStorageError} naming the file if the system refuses otherwise.
class MediaStore {
 public:
  virtual ~MediaStore() = default;

  virtual std::unique_ptr<UploadWriter> BeginUpload(std::string_view name) = 0;
  virtual std::optional<Upload> FindUpload(const std::string& id) const = 0;

  // Returns the file of an input. Throws Error{kUploadNotFound}, or Error{kInvalidRequest} for a
  // path that leaves the library folder or does not exist.
  virtual std::filesystem::path Resolve(const Input& input) const = 0;

  // Creates work/<task>.<fence>/ (empty, also if it existed) with out/ in it; returns its path.
  virtual std::filesystem::path CreateWork(const std::string& task, Fence fence) = 0;
  virtual std::filesystem::path WorkFolder(const std::string& task, Fence fence) const = 0;
  virtual void DiscardWork(const std::string& task, Fence fence) = 0;

  // Moves the files of a job's tasks from work/<task>.<fence>/out to
  // outputs/<job>/<PublishedFence>, durably, after checking that each is there with the size its
  // manifest names. Repeating it after a crash anywhere completes it. Returns the tasks whose files
  // are gone, which have to run again; none: all are published. REQUIRES: `made` is not empty, and
  // no two of its files have the same path.
  virtual std::vector<std::string> Publish(const std::string& job,
                                           const std::vector<TaskOutputs>& made) = 0;
  // The file `path` of a job's published outputs, or nullopt if there is none or if the path would
  // leave the folder.
  virtual std::optional<std::filesystem::path> FindOutput(const std::string& job, Fence fence,
                                                          std::string_view path) const = 0;

  // Writes dead-letter/<job>/ as docs/dead-letters.md describes it, complete and durable, and
  // returns the folder. Links the input from uploads, and only names one of the library. Replaces
  // the folder of an earlier crash or generation. Keep the attempts' work folders until the ledger
  // says that the job is dead: a repeated call needs them. May take as long as a copy of the input,
  // where the file system can neither link nor clone.
  virtual std::filesystem::path WriteDeadLetter(const DeadLetter& letter) = 0;
  virtual std::filesystem::path DeadLetterFolder(const std::string& job) const = 0;
};

struct FolderMediaStoreOptions {
  std::filesystem::path data_dir;
  // Inputs given by path lie below this folder; empty: such inputs are refused.
  std::filesystem::path library_dir;
};

// Opens a store in a folder of one host, or of a file system that all hosts share. Creates the
// folders uploads, work, outputs and dead-letter below data_dir.
std::unique_ptr<MediaStore> OpenFolderMediaStore(FolderMediaStoreOptions options);

}  // namespace millrace
