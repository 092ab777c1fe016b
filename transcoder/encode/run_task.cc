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

// Limits progress reports: a change of percentage or phase is reported after kFastest, any other
// change after kCalm, and nothing new after kHeartbeat.
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

// One task, from its input to its manifest.
class TaskRun {
 public:
  TaskRun(const TaskDocument& task, Report& report) : task_(task), report_(report) {}
  Manifest Run();
  // The stage that is at work, for errors that do not name theirs.
  const char* stage() const { return stage_; }

 private:
  Manifest Transcode(InputFile& input, nlohmann::json media);

  const TaskDocument& task_;
  Report& report_;
  const char* stage_ = "open";
};

Manifest TaskRun::Transcode(InputFile& input, nlohmann::json media) {
  stage_ = "plan";
  const Plan plan = MakePlan(input, task_.spec);
  Pipeline pipeline(input, plan, {.output_dir = task_.output_dir, .threads = task_.threads});
  ProgressReporter reporter(ProgressEstimator(pipeline.ProgressOutputs(), plan.header_seconds,
                                              input.io().size(), std::chrono::steady_clock::now()),
                            report_);
  ProgressEstimator::Observation last;
  pipeline.Run([&](const ProgressEstimator::Observation& seen) {
    last = seen;
    reporter.Tell(seen);
  });
  Manifest manifest;
  manifest.media = std::move(media);
  manifest.warnings = Judge(pipeline, plan, input, Complaints());
  stage_ = "verify";
  TellVerifying(reporter, last);
  manifest.files = VerifyOutputs(pipeline, task_.spec, task_.output_dir);
  return manifest;
}

Manifest TaskRun::Run() {
  ForgetComplaints();
  report_.Made({.percent = 0, .phase = "probing"});
  InputFile input(task_.input_path);
  stage_ = "probe";
  nlohmann::json media = DescribeMedia(input);
  report_.Media(media);
  if (task_.kind == TaskKind::kProbe) {
    return {.files = {}, .warnings = {}, .media = std::move(media)};
  }
  if (task_.kind == TaskKind::kExcerpt) {
    stage_ = "mux";
    return {.files = {CutExcerpt(input, task_.excerpt, task_.output_dir)},
            .warnings = {},
            .media = std::move(media)};
  }
  ForgetComplaints();
  return Transcode(input, std::move(media));
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
  TaskRun run(task, report);
  try {
    report.Succeeded(run.Run());
    return true;
  } catch (const Error& error) {
    return FailWith(report, run.stage(), error);
  } catch (const std::bad_alloc&) {
    return FailWith(report, run.stage(), Error(ErrorCode::kOutOfMemory, "out of memory"));
  } catch (const std::exception& error) {
    return FailWith(report, run.stage(), Error(ErrorCode::kInternal, error.what()));
  }
}

nlohmann::json ProbeFile(const std::string& path) { return DescribeMedia(InputFile(path)); }

}  // namespace millrace::encode
