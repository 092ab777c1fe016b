#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "tests/system/http.h"

namespace millrace::harness {

inline constexpr std::chrono::seconds kJobLimit{120};  // for one job to end

// Returns whether the job has ended.
bool HasEnded(const nlohmann::json& job);

// A client of the service. Every method throws std::runtime_error, naming request and answer, for
// any answer but that of a success. Used by one thread.
class Client {
 public:
  explicit Client(const std::string& url) : http_(url) {}

  // Returns the id of the upload. `name` is sent to the service, by default the file's own.
  std::string Upload(const std::filesystem::path& file, std::string name = "");
  // Returns the accepted job.
  nlohmann::json Submit(const nlohmann::json& request);
  // Uploads the file and submits it with these outputs; returns the job's id.
  std::string Start(const std::filesystem::path& file, const nlohmann::json& outputs);

  nlohmann::json Job(const std::string& id);
  nlohmann::json Attempts(const std::string& id);
  nlohmann::json Get(const std::string& path);
  nlohmann::json Cancel(const std::string& id);

  // Follows the job by long polls until `enough` returns true for it, or it has ended. Repeats
  // requests that fail, so that parts of the service may be down meanwhile. Throws after `limit`.
  nlohmann::json Follow(const std::string& id,
                        const std::function<bool(const nlohmann::json& job)>& enough,
                        std::chrono::milliseconds limit = kJobLimit);
  nlohmann::json WaitForEnd(const std::string& id, std::chrono::milliseconds limit = kJobLimit);
  // Waits until the job's progress is above `percent`. Throws if the job ends before.
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
