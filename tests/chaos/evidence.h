#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "tests/chaos/record.h"

namespace millrace::chaos {

// One file of a job as it was downloaded.
struct FetchedFile {
  std::string path;            // as the job lists it
  std::string claimed_sha256;  // as the job says
  std::string sha256;          // of what came; empty: it did not come
  bool decodes = false;
};

// One attempt, event or dead letter is as the HTTP API shows it.
struct JobEvidence {
  JobRecord record;
  nlohmann::json job;       // null: the service does not know it
  nlohmann::json attempts;  // an array
  nlohmann::json events;    // an array
  std::vector<FetchedFile> files;
  nlohmann::json dead_letter;     // of a dead job; null: there is none
  std::string dead_input_sha256;  // of the input kept with it; empty: there is none
};

// What the same work comes to when nothing fails.
struct Reference {
  // SHA-256 by kind of job and path.
  std::map<std::string, std::map<std::string, std::string>> outputs;
};

// All that can be seen of an episode when it is over, from outside.
struct Evidence {
  std::vector<JobEvidence> jobs;       // all that were acknowledged
  nlohmann::json listed;               // an array: every job that the service lists
  nlohmann::json other_events;         // an array: of listed jobs that were not acknowledged
  size_t encoders_killed = 0;          // by the harness
  std::vector<std::string> leftovers;  // files and folders that nothing can need any more
  std::vector<std::string> accidents;  // programs that died of themselves
  std::string verify;                  // what `millrace-broker --verify` complained of
};

// Judges by nothing but what it is given. Returns every promise that was not kept.
std::vector<Violation> Check(const Evidence& evidence, const Reference& reference);

// Why a job of good media may have died while faults were at work; nullopt: it may not.
std::optional<std::string> ExcuseFor(const nlohmann::json& job, const nlohmann::json& attempts);

}  // namespace millrace::chaos
