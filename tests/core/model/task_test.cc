#include "core/model/task.h"

#include <gtest/gtest.h>

#include <map>

namespace millrace {
namespace {

using enum TaskState;
using enum TaskEvent;

TEST(TaskTransitions, AreExactlyTheDocumentedOnes) {
  const std::map<std::pair<TaskState, TaskEvent>, TaskState> expected = {
      {{kQueued, kLease}, kLeased},          {{kQueued, kCancel}, kCancelled},
      {{kQueued, kFail}, kFailed},           {{kLeased, kFinish}, kDone},
      {{kLeased, kRequeue}, kQueued},        {{kLeased, kRetry}, kRetryWait},
      {{kLeased, kFail}, kFailed},           {{kLeased, kCancel}, kCancelling},
      {{kRetryWait, kDue}, kQueued},         {{kRetryWait, kCancel}, kCancelled},
      {{kCancelling, kStopped}, kCancelled}, {{kDone, kRedo}, kQueued},
      {{kQueued, kBlock}, kBlocked},         {{kBlocked, kReady}, kQueued},
      {{kBlocked, kCancel}, kCancelled},     {{kDone, kRedrive}, kQueued},
      {{kFailed, kRedrive}, kQueued},        {{kCancelled, kRedrive}, kQueued},
  };
  for (const TaskState state :
       {kQueued, kBlocked, kLeased, kRetryWait, kCancelling, kDone, kFailed, kCancelled}) {
    EXPECT_EQ(TaskStateFromName(NameOf(state)), state);
    for (const TaskEvent event : {kBlock, kReady, kLease, kFinish, kRequeue, kRetry, kDue, kFail,
                                  kCancel, kStopped, kRedo, kRedrive}) {
      const auto found = expected.find({state, event});
      const auto next = NextState(state, event);
      EXPECT_EQ(next.has_value(), found != expected.end())
          << NameOf(state) << " + " << NameOf(event);
      if (next && found != expected.end()) {
        EXPECT_EQ(*next, found->second);
      }
    }
  }
}

TaskDocument SomeTask() {
  TaskDocument task;
  task.task_id = "tsk_1";
  task.job_id = "job_1";
  task.fence = 7;
  task.attempt = 2;
  task.input_path = "/in/a.mp4";
  task.input_name = "a.mp4";
  task.output_dir = "/work/tsk_1.7/out";
  task.threads = 3;
  task.spec.outputs.push_back({.name = "web",
                               .preset = "",
                               .container = Container::kMp4,
                               .video = VideoSpec{.codec = VideoCodec::kH264,
                                                  .width_px = {},
                                                  .height_px = 720,
                                                  .crf = 21.0,
                                                  .bitrate_bps = {},
                                                  .speed = "fast",
                                                  .gop_seconds = 2.0,
                                                  .fps = {}},
                               .audio = AudioSpec{.codec = AudioCodec::kAac,
                                                  .bitrate_bps = 128'000,
                                                  .channels = 2,
                                                  .sample_rate_hz = {}},
                               .thumbnails = {}});
  return task;
}

TEST(TaskDocument, ReadsWhatItWrites) {
  const TaskDocument task = SomeTask();
  const TaskDocument back = TaskFromJson(ToJson(task));
  EXPECT_EQ(ToJson(back), ToJson(task));
  EXPECT_EQ(back.spec, task.spec);
  EXPECT_EQ(back.fence, 7);
}

TEST(TaskDocument, RefusesAnotherVersionByName) {
  auto json = ToJson(SomeTask());
  json["version"] = 99;
  try {
    TaskFromJson(json);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("99"), std::string::npos);
  }
}

TEST(TaskDocument, NamesAMissingField) {
  auto json = ToJson(SomeTask());
  json.erase("input_path");
  try {
    TaskFromJson(json);
    FAIL() << "accepted";
  } catch (const Error& error) {
    EXPECT_NE(std::string(error.what()).find("input_path"), std::string::npos);
  }
}

Manifest SomeManifest() {
  Manifest manifest;
  manifest.files.push_back({.output = "web",
                            .path = "web.mp4",
                            .bytes = 12,
                            .sha256 = "00ff",
                            .media_type = "video/mp4",
                            .duration_seconds = 2.5,
                            .video = {{"frames", 60}},
                            .audio = nullptr});
  manifest.warnings.push_back({.code = "decode_errors", .detail = "3 frames"});
  manifest.media = {{"container", "mov"}};
  return manifest;
}

TEST(Manifest, ReadsWhatItWrites) {
  EXPECT_EQ(ManifestFromJson(ToJson(SomeManifest())), SomeManifest());
}

TEST(Manifest, RefusesPathsThatLeaveItsFolder) {
  for (const char* path : {"/etc/passwd", "../x", "a/../../x", ""}) {
    auto json = ToJson(SomeManifest());
    json["files"][0]["path"] = path;
    EXPECT_THROW(ManifestFromJson(json), Error) << path;
  }
}

TEST(Manifest, RefusesAFileWithoutAHash) {
  auto json = ToJson(SomeManifest());
  json["files"][0].erase("sha256");
  EXPECT_THROW(ManifestFromJson(json), Error);
}

TEST(Progress, ReadsWhatItWritesAndStaysWithinZeroAndOneHundred) {
  Progress progress{.percent = 42,
                    .phase = "transcoding",
                    .frames = 100,
                    .fps = 25.5,
                    .speed = 1.5,
                    .media_seconds = 4,
                    .eta_seconds = 3.0,
                    .outputs = {{"web", 40}}};
  EXPECT_EQ(ProgressFromJson(ToJson(progress)), progress);
  auto json = ToJson(progress);
  json["percent"] = 250;
  EXPECT_EQ(ProgressFromJson(json).percent, 100);
}

TEST(AttemptFailure, KeepsSignalAndLog) {
  const AttemptFailure failure{
      .error = Error(ErrorCode::kEncoderCrashed, "signal 11", {{"stage", "decode"}}),
      .usage = {.peak_rss_bytes = 5, .cpu_seconds = 1.5, .exit_status = {}, .signal = 11},
      .log_tail = {"one", "two"}};
  const AttemptFailure back = AttemptFailureFromJson(ToJson(failure));
  EXPECT_EQ(back.error.code(), ErrorCode::kEncoderCrashed);
  EXPECT_EQ(back.usage.signal, 11);
  EXPECT_EQ(back.usage.exit_status, std::nullopt);
  EXPECT_EQ(back.log_tail, failure.log_tail);
}

TEST(Attempt, IsShownWithNullUntilItEnds) {
  Attempt attempt;
  attempt.task_id = "tsk_1";
  attempt.fence = 9;
  attempt.worker = "host/1";
  attempt.started_at = WallTime(std::chrono::seconds(1'700'000'000));
  attempt.outcome = "running";
  nlohmann::json shown = ToJson(attempt);
  EXPECT_EQ(shown.at("fence"), 9);
  EXPECT_EQ(shown.at("started_at"), "2023-11-14T22:13:20.000Z");
  EXPECT_TRUE(shown.at("finished_at").is_null());
  attempt.finished_at = attempt.started_at + std::chrono::seconds(1);
  shown = ToJson(attempt);
  EXPECT_EQ(shown.at("finished_at"), "2023-11-14T22:13:21.000Z");
}

}  // namespace
}  // namespace millrace
