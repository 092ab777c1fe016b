#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/media/media_store.h"

namespace millrace {

// The sources of a dead-letter folder's files.
struct DeadLetterSources {
  std::optional<std::filesystem::path> input;  // nullopt: a file of the library, or removed
  std::vector<std::pair<Fence, std::filesystem::path>> attempts;  // work folders, oldest first
};

// Fills the empty `folder` as docs/dead-letters.md describes it, durably. May take as long as a
// copy of the input, where the file system can neither link nor clone. Throws Error{kStorageFull}
// or Error{kStorageError}, and Error{kDraining} after a request of `letter.abandon`.
void FillDeadLetterFolder(const DeadLetter& letter, const DeadLetterSources& sources,
                          const std::filesystem::path& folder);

}  // namespace millrace
