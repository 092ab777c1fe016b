#include "tests/bench/figures.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace millrace::bench {

double Percentile(std::vector<double> samples, double share) {
  if (samples.empty()) return std::numeric_limits<double>::quiet_NaN();
  const auto rank = static_cast<size_t>(share * static_cast<double>(samples.size() - 1) + 0.5);
  const auto place = samples.begin() + static_cast<std::ptrdiff_t>(rank);
  std::nth_element(samples.begin(), place, samples.end());
  return *place;
}

void Figures::Add(const std::string& metric, double value, const std::string& unit,
                  const std::string& aim) {
  rows_.push_back({metric, fmt::format("{:.4g} {}", value, unit), aim});
  // Four digits: a measurement on a shared machine is not more precise.
  metrics_[metric] = std::isfinite(value)
                         ? nlohmann::ordered_json(std::stod(fmt::format("{:.4g}", value)))
                         : nlohmann::ordered_json();
}

void Figures::Note(const std::string& name, const std::string& value) {
  rows_.push_back({name, value, ""});
}

void Figures::Print() const {
  fmt::print("\n{:<28} {:<34} {}\n", bench_, "measured", "aim");
  for (const Row& row : rows_) fmt::print("{:<28} {:<34} {}\n", row.name, row.value, row.aim);
  fmt::print("{}\n", nlohmann::ordered_json{{"bench", bench_}, {"metrics", metrics_}}.dump());
}

}  // namespace millrace::bench
