#pragma once

#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "core/base/unique_fd.h"

namespace millrace::api {

// The folder of one dead letter, held open: all that is read through it is of one and the same
// folder, even if that is replaced or removed meanwhile. No link is followed, and no name leads
// out of it. One that is not there reads as empty. Used by one thread.
class DeadLetterFiles {
 public:
  struct File {
    std::string name;
    int64_t bytes = 0;
  };

  // Throws Error{kStorageError} if the folder is there but cannot be opened; so do the others.
  explicit DeadLetterFiles(const std::filesystem::path& folder);

  bool IsThere() const { return static_cast<bool>(folder_); }
  // The regular files in it, sorted by name.
  std::vector<File> List() const;
  // Invalid if there is no regular file of that name.
  UniqueFd Open(const std::string& name) const;
  // The content of report.json; null if there is none, or none that is of use.
  nlohmann::json Report() const;

 private:
  UniqueFd folder_;
};

// A validator that changes when the file does; with the quotes of the header field. REQUIRES:
// valid.
std::string EtagOfFile(const UniqueFd& file);

}  // namespace millrace::api
