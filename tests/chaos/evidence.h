#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/record.h"

namespace millrace::chaos {

// One downloaded file of a job.
struct FetchedFile {
  std::string path;            // as the job lists it
  std::string claimed_sha256;  // as the job says
  std::string sha256;          // of the bytes received; empty: none were
  bool decodes = false;
};

// Everything known of one job. Attempts, events and dead letters are as the HTTP API shows them.
struct JobEvidence {
  JobRecord record;
  nlohmann::json job;       // null: the service does not know it
  nlohmann::json attempts;  // an array
  nlohmann::json events;    // an array
  std::vector<FetchedFile> files;
  nlohmann::json dead_letter;     // of a dead job; null: there is none
  std::string dead_input_sha256;  // of the input kept with the letter; empty: none is kept
};

// The results of the same work without faults.
struct Reference {
  // SHA-256 by kind of job and path.
  std::map<std::string, std::map<std::string, std::string>> outputs;
};

// Everything that can be seen of a finished episode from outside.
struct Evidence {
  std::vector<JobEvidence> jobs;       // all acknowledged jobs
  nlohmann::json listed;               // an array: every job that the service lists
  nlohmann::json other_events;         // an array: of listed jobs that were not acknowledged
  size_t encoders_killed = 0;          // by the harness
  std::vector<std::string> leftovers;  // files and folders that nothing can need any more
  std::vector<std::string> accidents;  // programs that died without a fault
  std::string verify;                  // complaints of `millrace-broker --verify`
};

// Returns every promise that was broken, judged by the arguments alone.
std::vector<Violation> Check(const Evidence& evidence, const Reference& reference);

// Returns the reason that excuses the death of a job of good media during faults; nullopt: none
// does.
std::optional<std::string> ExcuseFor(const nlohmann::json& job, const nlohmann::json& attempts);

}  // namespace millrace::chaos
