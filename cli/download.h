#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/service.h"

namespace millrace {

struct DownloadedFile {
  nlohmann::json file;  // as the job lists it
  std::filesystem::path path;
};

// Fetches every file of a finished job's outputs into `folder`, which is created, and checks each
// against its size and hash. Throws Error{kOutputNotFound} if there are none, and
// Error{kProtocolError} for a name that would lead out of the folder.
std::vector<DownloadedFile> DownloadOutputs(Service& service, const nlohmann::json& job,
                                            const std::filesystem::path& folder);

}  // namespace millrace
