#pragma once

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

#include "core/media/media_store.h"

namespace millrace {

// Where the parts of one dead letter come from.
struct DeadLetterSources {
  std::optional<std::filesystem::path> input;  // nullopt: it is not ours to keep, or gone
  std::vector<std::pair<Fence, std::filesystem::path>> attempts;  // work folders, oldest first
};

// Fills `folder`, which is empty, with what docs/dead-letters.md describes, durably. May take as
// long as a copy of the input does where the file system can neither link nor clone. Throws
// Error{kStorageFull} or Error{kStorageError}, and Error{kDraining} if `letter.abandon` asked.
void FillDeadLetterFolder(const DeadLetter& letter, const DeadLetterSources& sources,
                          const std::filesystem::path& folder);

}  // namespace millrace
