#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tests/system/http.h"

namespace millrace::harness {

inline constexpr std::chrono::seconds kJobLimit{120};  // for any one job of the tests to end

// A job has ended when nothing will change any more.
bool HasEnded(const nlohmann::json& job);

// The service as a client sees it. Every method throws std::runtime_error, naming the request and
// the answer, if the service does not answer as it does when all is well. Used by one thread.
class Client {
 public:
  explicit Client(const std::string& url) : http_(url) {}

  // Returns the id of the upload; `name` is what the service is told, by default the file's own.
  std::string Upload(const std::filesystem::path& file, std::string name = "");
  // Returns the job as it was accepted.
  nlohmann::json Submit(const nlohmann::json& request);
  // Uploads the file and submits it with these outputs; returns the job's id.
  std::string Start(const std::filesystem::path& file, const nlohmann::json& outputs);

  nlohmann::json Job(const std::string& id);
  nlohmann::json Attempts(const std::string& id);
  nlohmann::json Get(const std::string& path);
  nlohmann::json Cancel(const std::string& id);

  // Follows the job by long polls until `enough` says yes to it or it has ended; `enough` sees
  // every state that is told. Requests that fail are repeated, so that it may be used while parts
  // of the service are away. Throws if neither comes within `limit`.
  nlohmann::json Follow(const std::string& id,
                        const std::function<bool(const nlohmann::json& job)>& enough,
                        std::chrono::milliseconds limit = kJobLimit);
  nlohmann::json WaitForEnd(const std::string& id, std::chrono::milliseconds limit = kJobLimit);
  // Until it has been encoding for a while: percent above `percent`. Throws if it ends before.
  nlohmann::json WaitUntilEncoding(const std::string& id, int percent = 0);

  // Fetches a file of the job's outputs (an element of `files`) into the folder, and checks its
  // size and hash. Returns where it is.
  std::filesystem::path Fetch(const nlohmann::json& file, const std::filesystem::path& folder);

  Http& http() { return http_; }

 private:
  Http http_;
};

// The `files` of the job's output of that name.
nlohmann::json FilesOf(const nlohmann::json& job, const std::string& output);

}  // namespace millrace::harness
