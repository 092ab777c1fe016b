#pragma once

#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.h"
#include "core/task.h"

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

// What goes into a dead-letter folder.
struct DeadLetter {
  std::string job_id;
  nlohmann::json report;
  Input input;
  // Work folders of the job's attempts; their logs are kept.
  std::vector<std::pair<std::string, Fence>> attempts;
};

// Where the bytes are: uploads, work folders, outputs, dead letters. Jobs and their states are the
// ledger's; this knows only files. Thread-safe. Every method throws Error{kStorageFull} where the
// disk is full and Error{kStorageError} where the system refuses, naming the file.
class MediaStore {
 public:
  virtual ~MediaStore() = default;

  virtual std::unique_ptr<UploadWriter> BeginUpload(std::string_view name) = 0;
  virtual std::optional<Upload> FindUpload(const std::string& id) const = 0;

  // The file behind an input. Throws Error{kUploadNotFound}, or Error{kInvalidRequest} for a path
  // that leaves the library folder or does not exist.
  virtual std::filesystem::path Resolve(const Input& input) const = 0;

  // Creates work/<task>.<fence>/ (empty, also if it existed) with out/ in it; returns its path.
  virtual std::filesystem::path CreateWork(const std::string& task, Fence fence) = 0;
  virtual std::filesystem::path WorkFolder(const std::string& task, Fence fence) const = 0;
  virtual void DiscardWork(const std::string& task, Fence fence) = 0;

  // Moves work/<task>.<fence>/out to outputs/<job>/<fence>, durably, after checking that the
  // manifest's files are there with the sizes it names. Repeating it after a crash anywhere
  // completes it. Returns false if the files are not there to be published.
  virtual bool Publish(const std::string& task, const std::string& job, Fence fence,
                       const Manifest& manifest) = 0;
  // The file `path` of a job's published outputs, or nullopt if there is none or if the path would
  // leave the folder.
  virtual std::optional<std::filesystem::path> FindOutput(const std::string& job, Fence fence,
                                                          std::string_view path) const = 0;

  // Makes dead-letter/<job>/ with report.json, the logs of the attempts and the input (linked from
  // uploads; a reference where it is not ours), complete and durable when it returns. Replaces a
  // folder that an earlier crash left behind, for which the attempts' work folders are kept: they
  // are discarded once the ledger says that the job is dead. Returns the folder.
  virtual std::filesystem::path WriteDeadLetter(const DeadLetter& letter) = 0;
  virtual std::filesystem::path DeadLetterFolder(const std::string& job) const = 0;
};

struct FolderMediaStoreOptions {
  std::filesystem::path data_dir;
  // Inputs given by path lie below this folder; empty: such inputs are refused.
  std::filesystem::path library_dir;
};

// The default: one folder, on one host or on a file system that all hosts share.
// Creates the folders uploads, work, outputs and dead-letter below data_dir.
std::unique_ptr<MediaStore> OpenFolderMediaStore(FolderMediaStoreOptions options);

}  // namespace millrace
