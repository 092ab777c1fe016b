#include "cli/client/service.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <optional>
#include <span>
#include <utility>

#include "cli/client/partial_file.h"
#include "cli/client/resend.h"
#include "core/base/error.h"
#include "core/base/files.h"
#include "core/base/sha256.h"
#include "core/base/unique_fd.h"

namespace millrace::cli {
namespace {

using nlohmann::json;

constexpr std::chrono::seconds kSlack{15};  // on top of the wait that the service was asked for
// The service takes up to 30 seconds over many dead letters.
constexpr std::chrono::seconds kRepeatedTimeout{45};
constexpr std::chrono::seconds kProbeTimeout{90};

[[noreturn]] void ThrowProblem(const HttpResponse& response, bool uncertain = false) {
  const json problem = json::parse(response.body, nullptr, false);
  if (!problem.is_object() || !problem.contains("code")) {
    throw Error(response.status >= 500 ? ErrorCode::kBrokerUnavailable : ErrorCode::kProtocolError,
                "the service answered with HTTP status " + std::to_string(response.status) +
                    " and no explanation; is this a Millrace service?",
                {{"uncertain", uncertain}});
  }
  const Error error = ErrorFromJson(problem);
  throw Error(error.code(), error.what(), {{"problem", problem}, {"uncertain", uncertain}});
}

json ParsedBody(const HttpResponse& response, bool uncertain = false) {
  if (response.status < 200 || response.status > 299) ThrowProblem(response, uncertain);
  if (response.status == 204) return nullptr;
  json body = json::parse(response.body, nullptr, false);
  if (body.is_discarded()) {
    throw Error(ErrorCode::kProtocolError, "the service's answer is not JSON");
  }
  return body;
}

std::string JobPath(const std::string& id) { return "/v1/jobs/" + PercentEncode(id); }

HttpRequest PostRequest(const std::string& path, const json& body,
                        std::chrono::milliseconds timeout) {
  HttpRequest request = {.method = "POST", .path = path, .timeout = timeout};
  if (!body.is_null()) {
    request.headers = {"Content-Type: application/json"};
    request.body = body.dump();
  }
  return request;
}

// Quotes the key as a string of RFC 8941.
std::string Quoted(const std::string& key) {
  std::string quoted = "\"";
  for (const char c : key) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c;
  }
  return quoted + '"';
}

UniqueFd OpenInput(const std::filesystem::path& file) {
  if (file == "-") return UniqueFd(fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0));
  UniqueFd input(open(file.c_str(), O_RDONLY | O_CLOEXEC));
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

}  // namespace

std::string DeadLetterPath(const std::string& job) {
  return "/v1/dead-letters/" + PercentEncode(job);
}

json Service::Upload(const std::filesystem::path& file, const std::string& name,
                     const TransferProgress& progress) {
  const UniqueFd input = OpenInput(file);
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
  return ParsedBody(http_.Send(PostRequest(path, body, timeout)));
}

json Service::SendRepeatedly(HttpRequest request, std::chrono::milliseconds patience) {
  const Resent end = SendUntilAnswered(http_, std::move(request), patience);
  try {
    return ParsedBody(end.response, end.uncertain);
  } catch (const Error& error) {
    if (!end.earlier_uncertain) throw;
    json context = error.context();
    context["earlier_uncertain"] = true;
    throw Error(error.code(), error.what(), std::move(context));
  }
}

json Service::PostRepeatedly(const std::string& path, const json& body, const std::string& key,
                             std::chrono::milliseconds patience) {
  HttpRequest request = PostRequest(path, body, kRepeatedTimeout);
  if (!key.empty()) request.headers.push_back("Idempotency-Key: " + Quoted(key));
  return SendRepeatedly(std::move(request), patience);
}

json Service::Submit(const json& request, const std::string& key,
                     std::chrono::milliseconds patience) {
  try {
    return PostRepeatedly("/v1/jobs", request, key, patience);
  } catch (const Error& error) {
    if (!error.context().value("uncertain", false)) throw;
    json context = error.context();
    context["idempotency_key"] = key;
    context["upload"] = request.at("input").value("upload", "");
    context["url"] = http_.base_url();
    throw Error(error.code(), error.what(), std::move(context));
  }
}

json Service::Delete(const std::string& path) {
  return SendRepeatedly({.method = "DELETE", .path = path}, kPatience);
}

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

json Service::DeadLetter(const std::string& job) { return Get(DeadLetterPath(job)); }

json Service::DeadLetters(const std::string& query, int page_size, const std::string& token) {
  std::string path = "/v1/dead-letters?page_size=" + std::to_string(page_size) + query;
  if (!token.empty()) path += "&page_token=" + PercentEncode(token);
  return Get(path);
}

json Service::Probe(const std::string& upload) {
  return Post("/v1/probe", {{"input", {{"upload", upload}}}}, kProbeTimeout);
}

json Service::Get(const std::string& path) { return ParsedBody(http_.Send({.path = path})); }

void Service::Download(const std::string& job, const json& file,
                       const std::filesystem::path& target, const TransferProgress& progress) {
  const std::string path = file.at("path");
  Fetch(JobPath(job) + "/outputs/" + PercentEncode(path, true), target,
        {.bytes = file.at("bytes").get<int64_t>(),
         .sha256 = file.at("sha256"),
         .progress = progress});
}

void Service::Fetch(const std::string& path, const std::filesystem::path& target,
                    const FetchOptions& options) {
  PartialFile partial(target);
  Sha256 hash;
  int64_t bytes = 0;
  Stream(
      path,
      [&](std::span<const char> block) {
        partial.Write(block);
        hash.Add(block);
        bytes += static_cast<int64_t>(block.size());
      },
      options.progress);
  const bool right_size = !options.bytes || bytes == *options.bytes;
  if (!right_size || (!options.sha256.empty() && hash.Finish() != options.sha256)) {
    throw Error(ErrorCode::kTruncatedOutput,
                "what was downloaded of " + target.filename().string() +
                    " is not what the service has promised (" + std::to_string(bytes) + " bytes)");
  }
  if (options.executable) partial.MakeExecutable();
  using IfThere = PartialFile::IfThere;
  partial.Keep(options.replace ? IfThere::kReplace : IfThere::kRefuse);
}

void Service::Stream(const std::string& path, const ByteSink& sink,
                     const TransferProgress& progress) {
  const HttpResponse response = http_.Download(path, sink, progress);
  if (response.status != 200) ThrowProblem(response);
}

}  // namespace millrace::cli
