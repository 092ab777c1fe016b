#pragma once

#include <filesystem>
#include <span>

#include "core/base/files.h"
#include "core/base/unique_fd.h"

namespace millrace::cli {

// A file that is being fetched, and has a name only when it is whole: where the file system can
// make files without one, not even a killed program leaves a piece behind; elsewhere it has a
// hidden name of its own until then, ".NAME.ID", and the destructor removes it. Owned by one
// thread. Throws Error{kStorageFull} and Error{kStorageError}.
class PartialFile {
 public:
  // The folder of `target` is created.
  explicit PartialFile(const std::filesystem::path& target);
  ~PartialFile();
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  void Write(std::span<const char> bytes) { WriteAll(file_.get(), bytes, target_); }
  // Who may read it may run it, too. REQUIRES: before Keep().
  void MakeExecutable();
  // Gives it the target's name, in place of any earlier file, or throws Error{kInvalidRequest} if
  // there is one. Call it once, last.
  enum class IfThere { kReplace, kRefuse };
  void Keep(IfThere if_there = IfThere::kReplace);

 private:
  const std::filesystem::path target_;
  const std::filesystem::path part_;
  UniqueFd file_;
  bool named_ = false;
};

}  // namespace millrace::cli
