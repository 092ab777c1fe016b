#pragma once

#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/http_client.h"

namespace millrace {

// What a look at a job brought.
struct JobReply {
  bool changed = false;  // false: it is still as it was when `etag` was given out
  bool waited = false;   // the service held the answer back until there was something to say
  nlohmann::json job;    // if changed
  std::string etag;
};

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

  nlohmann::json Submit(const nlohmann::json& request);
  nlohmann::json Job(const std::string& id);
  // Waits up to `wait` for a change since `etag` ("": answers at once).
  JobReply JobSince(const std::string& id, const std::string& etag, std::chrono::seconds wait);
  nlohmann::json Cancel(const std::string& id);
  // `query` is percent-encoded, without "?".
  nlohmann::json Jobs(const std::string& query);
  nlohmann::json Probe(const std::string& upload);
  nlohmann::json Get(const std::string& path);

  // Fetches one file of a job's outputs into `target`, which appears when it is whole. Throws
  // Error{kStorageError} or, if size or hash are not what `file` says, Error{kTruncatedOutput}.
  void Download(const std::string& job, const nlohmann::json& file,
                const std::filesystem::path& target, const TransferProgress& progress);

 private:
  nlohmann::json Post(const std::string& path, const nlohmann::json& body,
                      std::chrono::milliseconds timeout = std::chrono::seconds(30));

  HttpClient http_;
};

}  // namespace millrace
