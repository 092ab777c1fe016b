#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "cli/client/http_client.h"

namespace millrace::cli {

// What a look at a job brought.
struct JobReply {
  bool changed = false;  // false: it is still as it was when `etag` was given out
  bool waited = false;   // the service held the answer back until there was something to say
  nlohmann::json job;    // if changed
  std::string etag;
};

// What is known of a file that is fetched, and what is to become of it.
struct FetchOptions {
  std::optional<int64_t> bytes = std::nullopt;
  std::string sha256 = "";  // empty: not known
  bool executable = false;
  bool replace = true;  // false: throws Error{kInvalidRequest} if the target is there already
  TransferProgress progress = nullptr;  // may be empty
};

// How long a request that is safe to repeat is repeated, unless somebody says otherwise.
inline constexpr std::chrono::seconds kPatience{60};

// The HTTP API as functions. Owned and used by one thread. Each throws the Error that the service
// answered with, its problem object in the context under "problem", or Error{kBrokerUnavailable}
// if there was no answer.
class Service {
 public:
  explicit Service(const std::string& url) : http_(url) {}

  // Sends a file, or standard input for "-"; returns the upload. Throws Error{kUploadNotFound} if
  // the file is not there, Error{kInvalidRequest} if it cannot be read.
  nlohmann::json Upload(const std::filesystem::path& file, const std::string& name,
                        const TransferProgress& progress);

  // Makes exactly one job under the key (visible ASCII), however often the answer is lost: asks
  // again as SendUntilAnswered does. The context of an Error tells where the job may exist all the
  // same: {"uncertain": true, "idempotency_key", "upload", "url"}.
  nlohmann::json Submit(const nlohmann::json& request, const std::string& key,
                        std::chrono::milliseconds patience = kPatience);
  nlohmann::json Job(const std::string& id);
  // Waits up to `wait` for a change since `etag` ("": answers at once).
  JobReply JobSince(const std::string& id, const std::string& etag, std::chrono::seconds wait);
  nlohmann::json Cancel(const std::string& id);
  // `query` is percent-encoded, without "?".
  nlohmann::json Jobs(const std::string& query);
  nlohmann::json DeadLetter(const std::string& job);
  // A page; `query` is "" or begins with "&".
  nlohmann::json DeadLetters(const std::string& query, int page_size, const std::string& token);
  nlohmann::json Probe(const std::string& upload);
  nlohmann::json Get(const std::string& path);

  // For what may be done twice without harm; under a key, if it is not empty, so that it may. A
  // null body is none. Asks again as SendUntilAnswered does. The context of an Error tells by
  // {"earlier_uncertain": true} where a try before the one that was refused may have done it.
  nlohmann::json PostRepeatedly(const std::string& path, const nlohmann::json& body,
                                const std::string& key,
                                std::chrono::milliseconds patience = kPatience);
  nlohmann::json Delete(const std::string& path);

  // Fetches one file of a job's outputs into `target`, which appears when it is whole. Throws
  // Error{kStorageError} or, if size or hash are not what `file` says, Error{kTruncatedOutput}.
  void Download(const std::string& job, const nlohmann::json& file,
                const std::filesystem::path& target, const TransferProgress& progress);
  // The same with what `path` answers.
  void Fetch(const std::string& path, const std::filesystem::path& target,
             const FetchOptions& options);
  // Hands on what `path` answers as it comes.
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
