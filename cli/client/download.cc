#include "cli/client/download.h"

#include <algorithm>
#include <optional>
#include <string>

#include "core/base/error.h"

namespace millrace::cli {
namespace {

std::filesystem::path SafePath(const std::string& name) {
  const std::filesystem::path path(name);
  const bool leaves = std::ranges::any_of(path, [](const auto& part) { return part == ".."; });
  if (name.empty() || path.is_absolute() || leaves || !path.has_filename()) {
    throw Error(ErrorCode::kProtocolError, "the service lists a file with the name '" + name + "'");
  }
  return path;
}

constexpr const char* kInputName = "input";
constexpr const char* kScriptName = "repro.sh";

// A folder of files has no folders in it.
std::string SafeName(const std::string& name) {
  if (SafePath(name).filename() != name || name == ".") {
    throw Error(ErrorCode::kProtocolError, "the service lists a file with the name '" + name + "'");
  }
  return name;
}

struct LetterFile {
  std::string name;
  std::string path;  // of the API
  std::optional<int64_t> bytes;
};

// Lists the downloads of a dead letter in their order.
std::vector<LetterFile> FilesOf(const nlohmann::json& letter) {
  const std::string job = letter.at("job");
  const std::string self = DeadLetterPath(job);
  std::vector<LetterFile> files;
  for (const nlohmann::json& file : letter.at("files")) {
    const std::string name = SafeName(file.at("name"));
    files.push_back(
        {name, self + "/files/" + PercentEncode(name), file.at("bytes").get<int64_t>()});
  }
  if (files.empty()) {
    const std::string state = letter.at("state");
    throw Error(ErrorCode::kDeadLetterNotFound,
                state == "open"
                    ? "dead letter " + job + " is open, but the service does not find its folder"
                    : "the folder of dead letter " + job + " is gone: it is " + state);
  }
  if (std::ranges::find(files, kInputName, &LetterFile::name) == files.end()) {
    files.push_back({kInputName, self + "/input", std::nullopt});
  }
  std::stable_partition(files.begin(), files.end(),
                        [](const auto& file) { return file.name != kScriptName; });
  return files;
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

DeadLetterDownload DownloadDeadLetter(Service& service, const nlohmann::json& letter,
                                      const std::filesystem::path& folder,
                                      const std::function<void(const ProgressRow&)>& show) {
  DeadLetterDownload got;
  for (const LetterFile& file : FilesOf(letter)) {
    const auto progress = [&](int64_t done, std::optional<int64_t> total) {
      if (total.value_or(0) >= kWorthABar) show(DownloadRow(file.name, done, total));
    };
    try {
      service.Fetch(
          file.path, folder / file.name,
          {.bytes = file.bytes, .executable = file.name == kScriptName, .progress = progress});
    } catch (const Error& error) {
      // The library may have lost the input since.
      if (file.bytes || error.traits().http_status != 404) throw;
      continue;
    }
    if (file.name == kInputName) got.has_input = true;
    got.files.push_back(folder / file.name);
  }
  return got;
}

}  // namespace millrace::cli
