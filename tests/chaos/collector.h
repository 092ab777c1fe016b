#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/chaos/evidence.h"
#include "tests/system/http.h"

namespace millrace::chaos {

// Collects everything that a service tells about jobs, over HTTP alone. Used by one thread.
class Collector {
 public:
  // Downloads go to `folder`. `decoded` remembers outputs that decode, so that each is decoded
  // once.
  Collector(std::string url, std::filesystem::path folder, std::set<std::string>& decoded);

  JobEvidence Ask(const JobRecord& record);
  // Returns every event of a job that has ended.
  nlohmann::json Events(const std::string& id);
  // Returns every job that the service lists.
  nlohmann::json List();
  // Runs the repro.sh of a dead letter with only the encoder. Returns an empty text if the failure
  // was reproduced.
  std::string Reproduce(const nlohmann::json& dead_letter);

 private:
  // Throws std::runtime_error unless the answer is 200 or, with `may_lack`, 404.
  harness::HttpAnswer Get(const std::string& path, bool may_lack = false);
  FetchedFile Fetch(const nlohmann::json& file);
  bool Decodes(const std::filesystem::path& file, const std::string& sha256);

  harness::Http http_;
  const std::filesystem::path folder_;
  std::set<std::string>& decoded_;  // SHA-256 of outputs known to decode
};

}  // namespace millrace::chaos
