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
  bool has_input = false;  // without it repro.sh has to be told where it is
};

// Fetches the whole folder of a dead letter, as GET /v1/dead-letters/{job} lists it, into `folder`,
// which is created: repro.sh runs there. It comes last, so that it is never there without what it
// needs. An input of the library, which is not in the folder, is fetched as well. `show` is told of
// large files. Throws Error{kDeadLetterNotFound} if the folder is gone, and as DownloadOutputs.
DeadLetterDownload DownloadDeadLetter(Service& service, const nlohmann::json& letter,
                                      const std::filesystem::path& folder,
                                      const std::function<void(const ProgressRow&)>& show);

}  // namespace millrace::cli
