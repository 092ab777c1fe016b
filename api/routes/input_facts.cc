#include <filesystem>

#include "api/reply/replies.h"
#include "api/routes/routes.h"

namespace millrace::api {

nlohmann::json InputFactsOf(const MediaStore& media, const Input& input) {
  if (!input.upload.empty()) {
    const std::optional<Upload> upload = media.FindUpload(input.upload);
    if (!upload) {
      throw Error(ErrorCode::kUploadNotFound, "there is no upload " + input.upload);
    }
    return {{"name", upload->name}, {"bytes", upload->bytes}, {"sha256", upload->sha256}};
  }
  const std::filesystem::path file = media.Resolve(input);
  std::error_code gone;
  const auto bytes = std::filesystem::file_size(file, gone);
  if (gone) throw Error(ErrorCode::kInputUnreadable, "cannot read '" + input.path + "'");
  // Hashing a library file would make the submission long.
  return {{"name", file.filename().string()}, {"bytes", bytes}, {"sha256", nullptr}};
}

http::Response InputProblem(const Error& error, const Input& input) {
  nlohmann::json problem = ProblemJson(error);
  problem["errors"] = {{{"pointer", input.upload.empty() ? "/input/path" : "/input/upload"},
                        {"detail", error.what()}}};
  return ProblemResponse(error, std::move(problem));
}

int64_t DeadlineUnixMs(const Clock& clock, std::chrono::milliseconds allowed) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(
             (clock.WallNow() + allowed).time_since_epoch())
      .count();
}

}  // namespace millrace::api
