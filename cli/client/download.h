#pragma once

#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <vector>

#include "cli/client/service.h"
#include "cli/show/progress_row.h"

namespace millrace::cli {

struct DownloadedFile {
  nlohmann::json file;  // as the job lists it
  std::filesystem::path path;
};

// Fetches every file of a finished job's outputs into `folder`, which is created, and checks each
// against its size and hash. Throws Error{kOutputNotFound} if there are none, and
// Error{kProtocolError} for a name that would lead out of the folder.
std::vector<DownloadedFile> DownloadOutputs(Service& service, const nlohmann::json& job,
                                            const std::filesystem::path& folder);

struct DeadLetterDownload {
  std::vector<std::filesystem::path> files;
  bool has_input = false;  // false: repro.sh needs the path of the input as its argument
};

// Fetches the folder of a dead letter, as GET /v1/dead-letters/{job} lists it, into `folder`, which
// is created, and an input of the library beside it, so that repro.sh runs there. Fetches repro.sh
// last, when everything it needs is there. Calls `show` for large files. Throws
// Error{kDeadLetterNotFound} if the folder is gone, and whatever DownloadOutputs throws.
DeadLetterDownload DownloadDeadLetter(Service& service, const nlohmann::json& letter,
                                      const std::filesystem::path& folder,
                                      const std::function<void(const ProgressRow&)>& show);

}  // namespace millrace::cli
