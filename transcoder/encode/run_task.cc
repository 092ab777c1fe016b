#include "transcoder/encode/run_task.h"

#include <algorithm>
#include <chrono>
#include <optional>

#include "core/base/log.h"
#include "transcoder/encode/base/failure.h"
#include "transcoder/encode/base/ffmpeg_log.h"
#include "transcoder/encode/excerpt.h"
#include "transcoder/encode/input/media_facts.h"
#include "transcoder/encode/pipeline.h"
#include "transcoder/encode/verdict.h"
#include "transcoder/encode/verify.h"

namespace millrace::encode {
namespace {

// Progress is told when the percentage changes, but not faster than this; and otherwise at a calm
// pace, while anything changes, and now and then if nothing does.
constexpr auto kFastest = std::chrono::milliseconds(50);
constexpr auto kCalm = std::chrono::milliseconds(100);
constexpr auto kHeartbeat = std::chrono::seconds(1);

class ProgressReporter {
 public:
  ProgressReporter(ProgressEstimator estimator, Report& report)
      : estimator_(std::move(estimator)), report_(report) {}

  void Tell(const ProgressEstimator::Observation& seen) {
    const MonotonicTime now = std::chrono::steady_clock::now();
    const Progress progress = estimator_.Update(seen, now);
    const auto since = now - told_at_;
    const bool stepped = progress.percent != told_.percent || progress.phase != told_.phase;
    const bool moved =
        progress.frames != told_.frames || progress.media_seconds != told_.media_seconds;
    if ((stepped && since >= kFastest) || (moved && since >= kCalm) || since >= kHeartbeat) {
      report_.Made(progress);
      told_ = progress;
      told_at_ = now;
    }
  }

 private:
  ProgressEstimator estimator_;
  Report& report_;
  Progress told_;
  MonotonicTime told_at_{};
};

void TellVerifying(ProgressReporter& reporter, ProgressEstimator::Observation seen) {
  seen.phase = "verifying";
  for (ProgressEstimator::OutputState& output : seen.outputs) output.finalized = 0.8;
  reporter.Tell(seen);
}

// `stage` is kept at what is being done, for errors that do not say so themselves.
Manifest Transcode(const TaskDocument& task, InputFile& input, nlohmann::json media, Report& report,
                   const char*& stage) {
  stage = "plan";
  const Plan plan = MakePlan(input, task.spec);
  Pipeline pipeline(input, plan, {.output_dir = task.output_dir, .threads = task.threads});
  ProgressReporter reporter(ProgressEstimator(pipeline.ProgressOutputs(), plan.header_seconds,
                                              input.io().size(), std::chrono::steady_clock::now()),
                            report);
  ProgressEstimator::Observation last;
  pipeline.Run([&](const ProgressEstimator::Observation& seen) {
    last = seen;
    reporter.Tell(seen);
  });
  Manifest manifest;
  manifest.media = std::move(media);
  manifest.warnings = Judge(pipeline, plan, input, Complaints());
  stage = "verify";
  TellVerifying(reporter, last);
  manifest.files = VerifyOutputs(pipeline, task.spec, task.output_dir);
  return manifest;
}

Manifest Run(const TaskDocument& task, Report& report, const char*& stage) {
  ForgetComplaints();
  report.Made({.percent = 0, .phase = "probing"});
  InputFile input(task.input_path);
  stage = "probe";
  nlohmann::json media = DescribeMedia(input);
  report.Media(media);
  if (task.kind == TaskKind::kProbe) {
    return {.files = {}, .warnings = {}, .media = std::move(media)};
  }
  if (task.kind == TaskKind::kExcerpt) {
    stage = "mux";
    return {.files = {CutExcerpt(input, task.excerpt, task.output_dir)},
            .warnings = {},
            .media = std::move(media)};
  }
  ForgetComplaints();
  return Transcode(task, input, std::move(media), report, stage);
}

bool FailWith(Report& report, const char* stage, const Error& error) {
  const Error placed = WithPlace(error, {.stage = stage});
  LogError("the task failed", ToJson(placed));
  report.Failed(placed);
  return false;
}

}  // namespace

bool RunTask(const TaskDocument& task, Report& report) {
  report.Started();
  const char* stage = "open";
  try {
    report.Succeeded(Run(task, report, stage));
    return true;
  } catch (const Error& error) {
    return FailWith(report, stage, error);
  } catch (const std::bad_alloc&) {
    return FailWith(report, stage, Error(ErrorCode::kOutOfMemory, "out of memory"));
  } catch (const std::exception& error) {
    return FailWith(report, stage, Error(ErrorCode::kInternal, error.what()));
  }
}

nlohmann::json ProbeFile(const std::string& path) { return DescribeMedia(InputFile(path)); }

}  // namespace millrace::encode
