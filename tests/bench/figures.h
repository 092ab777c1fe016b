#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace millrace::bench {

// Returns the value below which `share` (0 to 1) of the samples lie; NaN if there are none.
double Percentile(std::vector<double> samples, double share);
inline double Median(std::vector<double> samples) { return Percentile(std::move(samples), 0.5); }

// The results of a bench: a table for people, then one JSON object for programs as the last line.
class Figures {
 public:
  explicit Figures(std::string bench) : bench_(std::move(bench)) {}

  // Adds a metric to table and last line; `aim` describes its target in words.
  void Add(const std::string& metric, double value, const std::string& unit,
           const std::string& aim = "");
  // Adds a row to the table alone.
  void Note(const std::string& name, const std::string& value);
  // Writes everything to standard output.
  void Print() const;

 private:
  struct Row {
    std::string name;
    std::string value;
    std::string aim;
  };
  const std::string bench_;
  std::vector<Row> rows_;
  nlohmann::ordered_json metrics_;
};

}  // namespace millrace::bench
