#include "cli/download.h"

#include <algorithm>
#include <string>

#include "core/error.h"

namespace millrace {
namespace {

std::filesystem::path SafePath(const std::string& name) {
  const std::filesystem::path path(name);
  const bool leaves = std::ranges::any_of(path, [](const auto& part) { return part == ".."; });
  if (name.empty() || path.is_absolute() || leaves || !path.has_filename()) {
    throw Error(ErrorCode::kProtocolError, "the job lists a file with the name '" + name + "'");
  }
  return path;
}

}  // namespace

std::vector<DownloadedFile> DownloadOutputs(Service& service, const nlohmann::json& job,
                                            const std::filesystem::path& folder) {
  const std::string id = job.at("id");
  std::vector<DownloadedFile> files;
  for (const nlohmann::json& output : job.at("outputs")) {
    for (const nlohmann::json& file : output.at("files")) {
      const std::filesystem::path path = folder / SafePath(file.at("path"));
      service.Download(id, file, path, nullptr);
      files.push_back({file, path});
    }
  }
  if (files.empty()) {
    throw Error(ErrorCode::kOutputNotFound,
                id + " has no outputs to download: it is " + job.at("state").get<std::string>());
  }
  return files;
}

}  // namespace millrace
