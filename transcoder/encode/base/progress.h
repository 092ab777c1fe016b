#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/base/clock.h"
#include "core/model/task.h"

namespace millrace::encode {

// Computes a percentage that never falls from what the stages have done. Pure: no clock, no thread.
//
// The percentage is media time done against planned media time. The plan starts with the duration
// in the header. If that is missing or wrong, it is corrected from the bytes read: when a share p
// of the bytes held s seconds, the whole will have s / p seconds.
class ProgressEstimator {
 public:
  struct Output {
    std::string name;
    double cost = 1;            // relative, of one second of it
    double finalize_share = 0;  // of its cost that comes after the last packet, 0 to 1
  };
  struct OutputState {
    double seconds = 0;    // of media, written
    double finalized = 0;  // 0 to 1
  };
  struct Observation {
    std::string phase;
    double demuxed_seconds = 0;
    int64_t demuxed_bytes = 0;
    bool demux_finished = false;
    int64_t frames = 0;
    std::vector<OutputState> outputs;  // as many as were given to the constructor
  };

  ProgressEstimator(std::vector<Output> outputs, std::optional<double> header_seconds,
                    int64_t input_bytes, MonotonicTime start);

  Progress Update(const Observation& seen, MonotonicTime now);

 private:
  void CorrectPlan(const Observation& seen);
  double FractionOf(const Output& output, const OutputState& state) const;

  const std::vector<Output> outputs_;
  const std::optional<double> header_seconds_;
  const int64_t input_bytes_;
  const MonotonicTime start_;
  std::optional<double> planned_;  // the best guess so far; unset: there is no ground for one
  double best_fraction_ = 0;
  std::vector<int> best_percent_;  // of each output
};

}  // namespace millrace::encode
