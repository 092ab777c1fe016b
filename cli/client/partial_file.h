#pragma once

#include <filesystem>
#include <span>

#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace::cli {

// A file under download, which gets its name when it is complete. Until then it has no name, so
// that even a killed program leaves nothing behind; where the file system cannot make such files it
// has a hidden name, ".NAME.ID", and the destructor removes it. Owned by one thread. Throws
// Error{kStorageFull} and Error{kStorageError}.
class PartialFile {
 public:
  // Creates the folder of `target`.
  explicit PartialFile(const std::filesystem::path& target);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  void Write(std::span<const char> bytes) { WriteAll(file_.get(), bytes, target_); }
  // Lets everyone who may read the file run it. REQUIRES: before Keep().
  void MakeExecutable();
  // Names the file as the target. Replaces an earlier file, or throws Error{kInvalidRequest}
  // because of it. Call it once, last.
  enum class IfThere { kReplace, kRefuse };
  void Keep(IfThere if_there = IfThere::kReplace);

 private:
  const std::filesystem::path target_;
  const std::filesystem::path part_;
  UniqueFd file_;
  bool named_ = false;
};

}  // namespace millrace::cli
