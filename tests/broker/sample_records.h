#pragma once

#include <string>
#include <vector>

#include "broker/ledger/records.h"
#include "core/base/id.h"

// Records for tests: small ones where the content does not matter, and one of each kind with every
// field set to something of its own.

namespace millrace::broker::samples {

inline WallTime At(int64_t microseconds) {
  return WallTime(std::chrono::microseconds(1'700'000'000'000'000 + microseconds));
}

inline EncodeSpec Spec() {
  return {.outputs = {{.name = "web",
                       .preset = "mp4-h264-720p",
                       .container = Container::kMp4,
                       .video = VideoSpec{.codec = VideoCodec::kH264, .height_px = 720, .crf = 21},
                       .audio = AudioSpec{.codec = AudioCodec::kAac, .bitrate_bps = 128'000},
                       .thumbnails = {}},
                      {.name = "poster",
                       .preset = "poster",
                       .container = {},
                       .video = {},
                       .audio = {},
                       .thumbnails = ThumbnailSpec{.count = 1, .at_seconds = 1.5}}},
          .clip = ClipSpec{.start_seconds = 0.5, .duration_seconds = 10}};
}

inline Job SmallJob(WallTime created_at = At(0)) {
  Job job;
  job.id = NewJobId();
  job.request.input.upload = NewUploadId();
  job.request.spec = Spec();
  job.input_facts = {{"name", "in.mov"}, {"bytes", 12}, {"sha256", "00"}};
  job.created_at = created_at;
  return job;
}

inline TaskRecord SmallTask(const Job& job) {
  TaskRecord task;
  task.id = NewTaskId();
  task.job_id = job.id;
  task.generation = job.generation;
  return task;
}

inline Attempt SmallAttempt(const TaskRecord& task, Fence fence, int number = 1) {
  Attempt attempt;
  attempt.task_id = task.id;
  attempt.fence = fence;
  attempt.number = number;
  attempt.worker = "host/1";
  attempt.started_at = At(1);
  attempt.outcome = "running";
  return attempt;
}

inline EventRecord Event(const Job& job, int64_t sequence) {
  return {.sequence = sequence,
          .job_id = job.id,
          .generation = job.generation,
          .event = JobEvent::kStart,
          .state = JobState::kRunning,
          .at = At(sequence)};
}

inline OutputFile File() {
  return {.output = "web",
          .path = "web.mp4",
          .bytes = 123'456'789'012,
          .sha256 = "abcd",
          .media_type = "video/mp4",
          .duration_seconds = 9.5,
          .video = {{"codec", "h264"}},
          .audio = nullptr};
}

inline nlohmann::json Failure() {
  return {{"error", {{"code", "encode_failed"}, {"detail", "it broke"}}},
          {"usage", {{"peak_rss_bytes", 1}, {"cpu_seconds", 0.5}, {"signal", 11}}},
          {"log_tail", {"one", "two"}}};
}

// Every field differs from its default.
inline Job FullJob() {
  Job job = SmallJob(At(42));
  job.request.priority = 77;
  job.request.external_id = "asset-42";
  job.request.labels = {{"team", "news"}, {"tier", "gold ' \" %"}};
  job.request.max_attempts = 3;
  job.generation = 4;
  job.state = JobState::kPublishing;
  job.started_at = At(43);
  job.finished_at = At(44);
  job.media = {{"duration", 1.25}};
  job.files = {File()};
  job.published_fence = 9;
  job.warnings = {{.code = "frames_missing", .detail = "12 of 300"}};
  job.error = {{"code", "encode_failed"}, {"detail", "why"}};
  job.idempotency_key = "key-" + job.id;
  job.request_fingerprint = "f00d";
  job.last_progress = {
      .percent = 47, .phase = "", .eta_seconds = {}, .outputs = {{"web", 94}, {"tv", 0}}};
  return job;
}

inline TaskRecord FullTask(const Job& job) {
  TaskRecord task = SmallTask(job);
  task.kind = TaskKind::kExcerpt;
  task.spec =
      EncodeSpec{.outputs = {{.name = "poster",
                              .preset = "",
                              .container = {},
                              .video = {},
                              .audio = {},
                              .thumbnails = ThumbnailSpec{.count = 2, .at_seconds = std::nullopt}}},
                 .clip = ClipSpec{.start_seconds = 1, .duration_seconds = 2}};
  task.input = Input{.upload = "", .path = "films/one.mov"};
  task.dependencies = {NewTaskId()};
  task.state = TaskState::kRetryWait;
  task.fence = 8;
  task.attempts_spent = 2;
  task.infrastructure_failures = 3;
  task.crashed_workers = {"a/1", "b/1", "a/1"};
  task.last_worker = "a/1";
  task.due_at = At(50);
  task.manifest = {{"files", nlohmann::json::array()}};
  task.failure = Failure();
  return task;
}

inline Attempt FullAttempt(const TaskRecord& task, int generation) {
  Attempt attempt = SmallAttempt(task, 8, 2);
  attempt.generation = generation;
  attempt.finished_at = At(60);
  attempt.outcome = "failed";
  attempt.failure = Failure();
  attempt.versions = {{"build", "1.2"}};
  return attempt;
}

inline DeadLetterRecord SmallLetter(const Job& job, WallTime died_at = At(1)) {
  DeadLetterRecord letter;
  letter.job_id = job.id;
  letter.generation = job.generation;
  letter.died_at = died_at;
  letter.code = "corrupt_media";
  letter.blame = "media";
  letter.signature = "0011223344556677";
  return letter;
}

inline DeadLetterRecord FullLetter(const Job& job) {
  DeadLetterRecord letter = SmallLetter(job, At(70));
  letter.state = DeadLetterRecord::State::kPurged;
  letter.closed_at = At(71);
  letter.detail = "line 1\nline 2";
  letter.stage = "decode";
  letter.codec = "h264";
  letter.signature_text = "corrupt_media in decode of h264: #";
  letter.input_name = "in \"1\".mov";
  letter.input_sha256 = "abcd";
  letter.worker = "host/1";
  return letter;
}

inline RedriveRecord FullRedrive(const Job& canary) {
  RedriveRecord redrive;
  redrive.id = NewId("rdr_");
  redrive.created_at = At(80);
  redrive.count = 5;
  redrive.canary = canary.id;
  redrive.canary_generation = 2;
  redrive.waiting = {NewJobId(), NewJobId()};
  redrive.patch = {{"clip", {{"start_seconds", 1}}}};
  return redrive;
}

// A record in text, every field named, so that a difference shows what differs.
inline nlohmann::json Show(const Job& job) {
  nlohmann::json files = nlohmann::json::array();
  for (const OutputFile& file : job.files) files.push_back(ToJson(file));
  nlohmann::json warnings = nlohmann::json::array();
  for (const Warning& warning : job.warnings) warnings.push_back(ToJson(warning));
  const auto time = [](const std::optional<WallTime>& at) {
    return at ? nlohmann::json(at->time_since_epoch().count()) : nlohmann::json();
  };
  return {{"id", job.id},
          {"request", ToJson(job.request)},
          {"input_facts", job.input_facts},
          {"generation", job.generation},
          {"state", NameOf(job.state)},
          {"created_at", time(job.created_at)},
          {"started_at", time(job.started_at)},
          {"finished_at", time(job.finished_at)},
          {"media", job.media},
          {"files", files},
          {"published_fence", job.published_fence},
          {"warnings", warnings},
          {"error", job.error},
          {"idempotency_key", job.idempotency_key},
          {"request_fingerprint", job.request_fingerprint},
          {"last_progress", ToJson(job.last_progress)}};
}

inline nlohmann::json Show(const TaskRecord& task) {
  return {{"id", task.id},
          {"job_id", task.job_id},
          {"generation", task.generation},
          {"kind", NameOf(task.kind)},
          {"spec", task.spec ? ToJson(*task.spec) : nlohmann::json()},
          {"input", task.input ? ToJson(*task.input) : nlohmann::json()},
          {"dependencies", task.dependencies},
          {"state", NameOf(task.state)},
          {"fence", task.fence},
          {"attempts_spent", task.attempts_spent},
          {"infrastructure_failures", task.infrastructure_failures},
          {"crashed_workers", task.crashed_workers},
          {"last_worker", task.last_worker},
          {"due_at", task.due_at ? nlohmann::json(task.due_at->time_since_epoch().count())
                                 : nlohmann::json()},
          {"manifest", task.manifest},
          {"failure", task.failure}};
}

inline nlohmann::json Show(const Attempt& attempt) { return ToJson(attempt); }

inline nlohmann::json Show(const EventRecord& event) {
  return {{"sequence", event.sequence},     {"job", event.job_id},
          {"generation", event.generation}, {"event", NameOf(event.event)},
          {"state", NameOf(event.state)},   {"at", event.at.time_since_epoch().count()}};
}

inline nlohmann::json Show(const DeadLetterRecord& letter) {
  nlohmann::json shown = ToJson(letter);
  // To the microsecond.
  shown["died_at"] = letter.died_at.time_since_epoch().count();
  if (letter.closed_at) shown["closed_at"] = letter.closed_at->time_since_epoch().count();
  return shown;
}

inline nlohmann::json Show(const RedriveRecord& redrive) {
  return {{"id", redrive.id},
          {"state", NameOf(redrive.state)},
          {"created_at", redrive.created_at.time_since_epoch().count()},
          {"count", redrive.count},
          {"canary", redrive.canary},
          {"canary_generation", redrive.canary_generation},
          {"waiting", redrive.waiting},
          {"patch", redrive.patch}};
}

}  // namespace millrace::broker::samples
