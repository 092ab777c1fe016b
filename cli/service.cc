#include "cli/service.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "core/error.h"
#include "core/files.h"
#include "core/sha256.h"

namespace millrace {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kSlack{15};  // beyond what the service was asked to wait
constexpr std::chrono::seconds kProbeTimeout{90};

[[noreturn]] void ThrowProblem(const HttpResponse& response) {
  const json problem = json::parse(response.body, nullptr, false);
  if (!problem.is_object() || !problem.contains("code")) {
    throw Error(response.status >= 500 ? ErrorCode::kBrokerUnavailable : ErrorCode::kProtocolError,
                "the service answered with HTTP status " + std::to_string(response.status) +
                    " and no explanation; is this a Millrace service?");
  }
  const Error error = ErrorFromJson(problem);
  throw Error(error.code(), error.what(), {{"problem", problem}});
}

json ParsedBody(const HttpResponse& response) {
  if (response.status < 200 || response.status > 299) ThrowProblem(response);
  json body = json::parse(response.body, nullptr, false);
  if (body.is_discarded()) {
    throw Error(ErrorCode::kProtocolError, "the service's answer is not JSON");
  }
  return body;
}

std::string JobPath(const std::string& id) { return "/v1/jobs/" + PercentEncode(id); }

FileDescriptor OpenInput(const std::filesystem::path& file) {
  if (file == "-") return FileDescriptor(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
  FileDescriptor input(open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (!input) {
    throw Error(errno == ENOENT ? ErrorCode::kUploadNotFound : ErrorCode::kInvalidRequest,
                "cannot read " + file.string() + ": " + std::strerror(errno));
  }
  return input;
}

std::optional<int64_t> SizeIfFile(int fd, const std::filesystem::path& file) {
  struct stat facts {};
  if (fstat(fd, &facts) != 0) ThrowStorageError(errno, "stat", file);
  if (S_ISDIR(facts.st_mode)) {
    throw Error(ErrorCode::kInvalidRequest, file.string() + " is a folder, not a file");
  }
  if (!S_ISREG(facts.st_mode)) return std::nullopt;
  return facts.st_size;
}

// Removes an unfinished download.
class PartialFile {
 public:
  explicit PartialFile(const std::filesystem::path& target) : path_(target.string() + ".part") {
    if (target.has_parent_path()) CreateFolders(target.parent_path());
    file_.Reset(open(path_.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
    if (!file_) ThrowStorageError(errno, "create", path_);
  }
  ~PartialFile() {
    if (!path_.empty()) unlink(path_.c_str());
  }
  PartialFile(const PartialFile&) = delete;
  PartialFile& operator=(const PartialFile&) = delete;

  void Write(std::span<const char> bytes) { WriteAll(file_.get(), bytes, path_); }
  void Keep(const std::filesystem::path& target) {
    file_.Reset();
    Rename(path_, target);
    path_.clear();
  }

 private:
  std::filesystem::path path_;
  FileDescriptor file_;
};

}  // namespace

json Service::Upload(const std::filesystem::path& file, const std::string& name,
                     const TransferProgress& progress) {
  const FileDescriptor input = OpenInput(file);
  const std::optional<int64_t> total = SizeIfFile(input.get(), file);
  const ByteSource source = [&](std::span<char> block) -> size_t {
    ssize_t got = 0;
    do {
      got = read(input.get(), block.data(), block.size());
    } while (got < 0 && errno == EINTR);
    if (got < 0) ThrowStorageError(errno, "read", file);
    return static_cast<size_t>(got);
  };
  return ParsedBody(http_.Upload("/v1/uploads/" + PercentEncode(name), source, total, progress));
}

json Service::Post(const std::string& path, const json& body, std::chrono::milliseconds timeout) {
  HttpRequest request = {.method = "POST", .path = path, .timeout = timeout};
  if (!body.is_null()) {
    request.headers = {"Content-Type: application/json"};
    request.body = body.dump();
  }
  return ParsedBody(http_.Send(request));
}

json Service::Submit(const json& request) { return Post("/v1/jobs", request); }

json Service::Job(const std::string& id) { return Get(JobPath(id)); }

JobReply Service::JobSince(const std::string& id, const std::string& etag,
                           std::chrono::seconds wait) {
  HttpRequest request = {.path = JobPath(id), .timeout = wait + kSlack};
  if (!etag.empty()) {
    request.headers = {"If-None-Match: " + etag, "Prefer: wait=" + std::to_string(wait.count())};
  }
  const HttpResponse response = http_.Send(request);
  JobReply reply;
  reply.waited = !response.Header("preference-applied").empty();
  reply.etag = response.Header("etag");
  if (response.status == 304) {
    if (reply.etag.empty()) reply.etag = etag;
    return reply;
  }
  reply.changed = true;
  reply.job = ParsedBody(response);
  return reply;
}

json Service::Cancel(const std::string& id) { return Post(JobPath(id) + "/cancel", nullptr); }

json Service::Jobs(const std::string& query) { return Get("/v1/jobs?" + query); }

json Service::Probe(const std::string& upload) {
  return Post("/v1/probe", {{"input", {{"upload", upload}}}}, kProbeTimeout);
}

json Service::Get(const std::string& path) { return ParsedBody(http_.Send({.path = path})); }

void Service::Download(const std::string& job, const json& file,
                       const std::filesystem::path& target, const TransferProgress& progress) {
  const std::string path = file.at("path");
  PartialFile partial(target);
  Sha256 hash;
  int64_t bytes = 0;
  const ByteSink sink = [&](std::span<const char> block) {
    partial.Write(block);
    hash.Add(block);
    bytes += static_cast<int64_t>(block.size());
  };
  const HttpResponse response =
      http_.Download(JobPath(job) + "/outputs/" + PercentEncode(path, true), sink, progress);
  if (response.status != 200) ThrowProblem(response);
  if (bytes != file.at("bytes").get<int64_t>() || hash.Finish() != file.at("sha256")) {
    throw Error(ErrorCode::kTruncatedOutput, "what was downloaded of " + path +
                                                 " is not what the job's manifest promises (" +
                                                 std::to_string(bytes) + " bytes)");
  }
  partial.Keep(target);
}

}  // namespace millrace
