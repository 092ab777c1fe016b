#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <vector>

namespace millrace::chaos {

// One kind of job: its upload, its request and its expected end.
struct JobKind {
  std::string name;
  std::filesystem::path media;
  nlohmann::json outputs;
  int weight = 1;                  // relative frequency
  std::vector<std::string> codes;  // errors that the job must die of, any one; empty: it succeeds

  bool is_good() const { return codes.empty(); }
};

// Returns all kinds of jobs. They are small: most take a worker some hundredths of a second. Throws
// std::runtime_error if a fixture is missing.
std::vector<JobKind> AllJobKinds();

// Returns the kind's media with a tail that changes its hash but not how it plays.
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
