#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/client/http_client.h"

namespace millrace::cli {

// The answer to a poll of a job.
struct JobReply {
  bool changed = false;  // false: the job is as it was at `etag`
  bool waited = false;   // the service held the answer back, waiting for a change
  nlohmann::json job;    // if changed
  std::string etag;
};

// Describes a file to fetch, and how to store it.
struct FetchOptions {
  std::optional<int64_t> bytes = std::nullopt;
  std::string sha256 = "";  // empty: not known
  bool executable = false;
  bool replace = true;  // false: throws Error{kInvalidRequest} if the target is there already
  TransferProgress progress = nullptr;  // may be empty
};

// The default time for repeating a request that is safe to repeat.
inline constexpr std::chrono::seconds kPatience{60};

// The HTTP API as functions. Owned and used by one thread. Each throws the Error that the service
// answered, with its problem object in the context as "problem", or Error{kBrokerUnavailable} if
// there was no answer.
class Service {
 public:
  explicit Service(const std::string& url) : http_(url) {}

  // Sends a file, or standard input for "-"; returns the upload. Throws Error{kUploadNotFound} if
  // the file is not there, Error{kInvalidRequest} if it cannot be read.
  nlohmann::json Upload(const std::filesystem::path& file, const std::string& name,
                        const TransferProgress& progress);

  // Makes exactly one job under the key (visible ASCII): repeats the request as SendUntilAnswered
  // does. If the job may exist although this throws, the Error's context has {"uncertain": true,
  // "idempotency_key", "upload", "url"}.
  nlohmann::json Submit(const nlohmann::json& request, const std::string& key,
                        std::chrono::milliseconds patience = kPatience);
  nlohmann::json Job(const std::string& id);
  // Waits up to `wait` for a change since `etag`; with "" returns at once.
  JobReply JobSince(const std::string& id, const std::string& etag, std::chrono::seconds wait);
  nlohmann::json Cancel(const std::string& id);
  // `query` is percent-encoded, without "?".
  nlohmann::json Jobs(const std::string& query);
  nlohmann::json DeadLetter(const std::string& job);
  // Returns a page; `query` is "" or begins with "&".
  nlohmann::json DeadLetters(const std::string& query, int page_size, const std::string& token);
  nlohmann::json Probe(const std::string& upload);
  nlohmann::json Get(const std::string& path);

  // POSTs a request that is safe to repeat, by itself or thanks to a non-empty key, and repeats it
  // as SendUntilAnswered does. Sends no body if it is null. If a try before the refused one may
  // have been served, the Error's context has {"earlier_uncertain": true}.
  nlohmann::json PostRepeatedly(const std::string& path, const nlohmann::json& body,
                                const std::string& key,
                                std::chrono::milliseconds patience = kPatience);
  nlohmann::json Delete(const std::string& path);

  // Fetches one file of a job's outputs into `target`, which appears when it is complete. Throws
  // Error{kStorageError}, or Error{kTruncatedOutput} if size or hash differ from `file`.
  void Download(const std::string& job, const nlohmann::json& file,
                const std::filesystem::path& target, const TransferProgress& progress);
  // Fetches the answer of `path` in the same way.
  void Fetch(const std::string& path, const std::filesystem::path& target,
             const FetchOptions& options);
  // Passes the answer of `path` to `sink` as it arrives.
  void Stream(const std::string& path, const ByteSink& sink,
              const TransferProgress& progress = nullptr);

 private:
  nlohmann::json Post(const std::string& path, const nlohmann::json& body,
                      std::chrono::milliseconds timeout = std::chrono::seconds(30));
  nlohmann::json SendRepeatedly(HttpRequest request, std::chrono::milliseconds patience);

  HttpClient http_;
};

std::string DeadLetterPath(const std::string& job);

}  // namespace millrace::cli
