#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "tests/chaos/evidence.h"
#include "tests/chaos/faults.h"

namespace millrace::chaos {

struct EpisodeOptions {
  std::filesystem::path folder;  // short, made anew; removed afterwards if all was well
  uint64_t seed = 0;
  size_t milliseconds = 60'000;    // with faults
  size_t every_ms = 700;           // one fault, on average
  std::vector<std::string> kinds;  // of faults, or how their names begin; empty: all
  size_t most_jobs = SIZE_MAX;
};

struct EpisodeResult {
  size_t acknowledged = 0;
  std::map<std::string, size_t> states;  // in which the jobs ended
  std::map<std::string, size_t> faults;  // that took effect, by kind
  size_t restarts = 0;
  size_t redriven = 0;    // good media that had died while faults were at work
  size_t reproduced = 0;  // failures, by their repro.sh
  size_t outputs = 0;     // files that were fetched and compared
  size_t followed = 0;    // jobs whose events a client has followed to the end
  std::vector<Violation> violations;
  std::string logs;  // the ends of the programs' logs, if there are violations
};

// What one run of the harness learns once and uses in each episode.
struct Knowledge {
  std::vector<JobKind> kinds;
  Reference reference;
  std::set<std::string> decoded;  // SHA-256 of outputs that are known to decode
};

// Runs each kind of good job twice while nothing fails. Throws std::runtime_error if one does not
// succeed.
void LearnReference(Knowledge& knowledge, const std::filesystem::path& folder);

// A service of its own under load and faults; then all is taken back, everything has to end, and
// is checked. Throws std::runtime_error if it cannot be run at all.
EpisodeResult RunEpisode(const EpisodeOptions& options, Knowledge& knowledge);

}  // namespace millrace::chaos
