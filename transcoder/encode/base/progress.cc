#include "transcoder/encode/base/progress.h"

#include <algorithm>

namespace millrace::encode {
namespace {

// The share of the input that must be read before its bytes are used to predict the duration.
constexpr double kMinByteShare = 0.02;
// How far a header's duration may be off before the prediction from bytes is preferred: bit rates
// vary.
constexpr double kImplausible = 4;

double SecondsBetween(MonotonicTime from, MonotonicTime to) {
  return std::chrono::duration<double>(to - from).count();
}

}  // namespace

ProgressEstimator::ProgressEstimator(std::vector<Output> outputs,
                                     std::optional<double> header_seconds, int64_t input_bytes,
                                     MonotonicTime start)
    : outputs_(std::move(outputs)),
      header_seconds_(header_seconds),
      input_bytes_(input_bytes),
      start_(start),
      planned_(header_seconds),
      best_percent_(outputs_.size(), 0) {}

void ProgressEstimator::CorrectPlan(const Observation& seen) {
  if (seen.demux_finished) {
    planned_ = seen.demuxed_seconds;
    return;
  }
  const double share =
      input_bytes_ > 0 ? static_cast<double>(seen.demuxed_bytes) / static_cast<double>(input_bytes_)
                       : 0;
  if (share >= kMinByteShare && seen.demuxed_seconds > 0) {
    const double foretold = seen.demuxed_seconds / std::min(share, 1.0);
    const bool implausible = !header_seconds_ || foretold * kImplausible < *header_seconds_ ||
                             seen.demuxed_seconds > *header_seconds_;
    planned_ = implausible ? foretold : *header_seconds_;
  }
  // The input is at least as long as what has been read of it.
  if (planned_) planned_ = std::max(*planned_, seen.demuxed_seconds);
}

double ProgressEstimator::FractionOf(const Output& output, const OutputState& state) const {
  const double written =
      planned_ && *planned_ > 0 ? std::clamp(state.seconds / *planned_, 0.0, 1.0) : 0;
  if (state.finalized > 0) {
    return 1 - output.finalize_share * (1 - std::min(state.finalized, 1.0));
  }
  return (1 - output.finalize_share) * written;
}

Progress ProgressEstimator::Update(const Observation& seen, MonotonicTime now) {
  CorrectPlan(seen);
  Progress progress{.phase = seen.phase, .frames = seen.frames};
  double cost = 0;
  double done = 0;
  double seconds = 0;
  for (size_t i = 0; i < outputs_.size(); ++i) {
    const double fraction = FractionOf(outputs_[i], seen.outputs.at(i));
    cost += outputs_[i].cost;
    done += outputs_[i].cost * fraction;
    seconds += outputs_[i].cost * seen.outputs[i].seconds;
    best_percent_[i] = std::max(best_percent_[i], static_cast<int>(100 * fraction));
    progress.outputs.emplace_back(outputs_[i].name, best_percent_[i]);
  }
  if (cost > 0) best_fraction_ = std::max(best_fraction_, done / cost);
  progress.percent = std::clamp(static_cast<int>(100 * best_fraction_), 0, 99);
  progress.media_seconds = cost > 0 ? seconds / cost : 0;

  const double elapsed = SecondsBetween(start_, now);
  if (elapsed > 0) {
    progress.fps = static_cast<double>(seen.frames) / elapsed;
    progress.speed = progress.media_seconds / elapsed;
    if (best_fraction_ > 0.01) {
      progress.eta_seconds = elapsed * (1 - best_fraction_) / best_fraction_;
    }
  }
  return progress;
}

}  // namespace millrace::encode
