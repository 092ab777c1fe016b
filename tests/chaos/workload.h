#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace millrace::chaos {

// One kind of job: what is uploaded, what is asked of it and what has to become of it.
struct JobKind {
  std::string name;
  std::filesystem::path media;
  nlohmann::json outputs;
  int weight = 1;                  // how often it is chosen, against the others
  std::vector<std::string> codes;  // of a job that must die: any of these; empty: it must succeed

  bool is_good() const { return codes.empty(); }
};

// All kinds, small ones: most take a worker some hundredths of a second. Throws std::runtime_error
// if a fixture is missing.
std::vector<JobKind> AllJobKinds();

// The kind's media with a tail that makes it another file for whoever compares hashes and no other
// for whoever plays it.
std::string UniqueMedia(const JobKind& kind, const std::string& token);

// Chooses by weight.
class KindPicker {
 public:
  explicit KindPicker(const std::vector<JobKind>& kinds);
  const JobKind& Pick(std::mt19937_64& random);

 private:
  const std::vector<JobKind>& kinds_;
  std::discrete_distribution<size_t> draw_;
};

}  // namespace millrace::chaos
