#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "cli/base/client_options.h"

namespace millrace::cli {

// The commands of a client. Each writes its result to standard output (text or JSON) and its
// progress to standard error, and returns the exit status or throws Error. Called once, by the main
// thread.

struct SubmitOptions {
  std::string file;                  // "-": standard input; "upl_…": an upload
  std::string name;                  // of the upload; empty: the file's own
  std::vector<std::string> presets;  // each becomes an output of the same name
  std::vector<std::string> outputs;  // "name=preset"
  bool poster = false;
  std::optional<int> priority;
  std::optional<int> max_attempts;
  std::optional<double> start_seconds;
  std::optional<double> duration_seconds;
  std::vector<std::string> labels;  // "key=value"
  std::string external_id;
  bool force = false;           // run media that is known to crash encoders
  std::string idempotency_key;  // empty: a new one
  std::chrono::milliseconds retry_for{60'000};
  bool wait = false;
  std::string download_dir;  // empty: no download
};

struct ListOptions {
  std::vector<std::string> states;
  std::vector<std::string> labels;  // "key=value"
  std::string external_id;
  int limit = 50;
};

int RunSubmit(const ClientOptions& client, const SubmitOptions& options);
int RunJobs(const ClientOptions& client, const ListOptions& options);
int RunShow(const ClientOptions& client, const std::string& id);
int RunWatch(const ClientOptions& client, const std::vector<std::string>& ids);
int RunCancel(const ClientOptions& client, const std::string& id);
int RunProbe(const ClientOptions& client, const std::string& file);
int RunPresets(const ClientOptions& client, const std::string& name);
int RunWorkers(const ClientOptions& client);
int RunQueue(const ClientOptions& client);
int RunDownload(const ClientOptions& client, const std::string& id, const std::string& folder);

// Prints how a job ended, and for a dead one the command that shows more.
void PrintEnd(const ClientOptions& client, const nlohmann::json& job);

// Returns the body of POST /v1/jobs. Throws Error{kInvalidRequest} for malformed options.
nlohmann::json SubmitRequest(const SubmitOptions& options, const std::string& upload);

}  // namespace millrace::cli
