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
  std::filesystem::path folder;  // short; created anew, removed if all went well
  uint64_t seed = 0;
  size_t milliseconds = 60'000;    // duration of the faults
  size_t every_ms = 700;           // mean time between faults
  std::vector<std::string> kinds;  // names, or prefixes of names, of faults; empty: all
  size_t most_jobs = SIZE_MAX;
};

struct EpisodeResult {
  size_t acknowledged = 0;
  std::map<std::string, size_t> states;  // final states of the jobs
  std::map<std::string, size_t> faults;  // faults that took effect, by kind
  size_t restarts = 0;
  size_t redriven = 0;    // good media that died during the faults
  size_t reproduced = 0;  // failures that repro.sh reproduced
  size_t outputs = 0;     // files fetched and compared
  size_t followed = 0;    // jobs whose events a client followed to the end
  std::vector<Violation> violations;
  std::string logs;  // the ends of the programs' logs; empty without violations
};

// Facts that the harness learns once and uses in each episode.
struct Knowledge {
  std::vector<JobKind> kinds;
  Reference reference;
  std::set<std::string> decoded;  // SHA-256 of outputs known to decode
};

// Runs each kind of good job twice without faults. Throws std::runtime_error if one does not
// succeed.
void LearnReference(Knowledge& knowledge, const std::filesystem::path& folder);

// Runs a service of its own under load and faults, takes the faults back, waits until every job
// ends and checks the promises. Throws std::runtime_error if the service cannot be run at all.
EpisodeResult RunEpisode(const EpisodeOptions& options, Knowledge& knowledge);

}  // namespace millrace::chaos
