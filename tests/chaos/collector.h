#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/chaos/evidence.h"
#include "tests/system/http.h"

namespace millrace::chaos {

// Asks a service for all that can be known of jobs, over HTTP alone. Used by one thread.
class Collector {
 public:
  // `folder`: for what it downloads; what it has decoded once it does not decode again.
  Collector(std::string url, std::filesystem::path folder, std::set<std::string>& decoded);

  JobEvidence Ask(const JobRecord& record);
  // Every event of a job that has ended.
  nlohmann::json Events(const std::string& id);
  // Every job that the service lists.
  nlohmann::json List();
  // Runs the repro.sh of a dead letter with nothing but the encoder; empty: it was reproduced.
  std::string Reproduce(const nlohmann::json& dead_letter);

 private:
  // Throws std::runtime_error for an answer other than 200 and, where that is allowed, 404.
  harness::HttpAnswer Get(const std::string& path, bool may_lack = false);
  FetchedFile Fetch(const nlohmann::json& file);
  bool Decodes(const std::filesystem::path& file, const std::string& sha256);

  harness::Http http_;
  const std::filesystem::path folder_;
  std::set<std::string>& decoded_;  // SHA-256 of what is known to decode
};

}  // namespace millrace::chaos
