#pragma once

#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/model/encode_spec.h"

namespace millrace {

// Numbers the leases of a ledger; it only grows. A message that carries an older fence than the
// task's current one changes nothing. 0 stands for "no lease".
using Fence = int64_t;

// The unit that a worker is given. Queueing, leasing, retry and blame belong to tasks.
//
//            lease            finish
//   queued ---------> leased ---------> done
//     ^ ^               |  \  fail
//     | |   requeue     |   `---------> failed
//     | `---------------+
//     |   due           | retry
//     `----- retry_wait <
//   queued -- block --> blocked -- ready --> queued
//   queued, blocked, retry_wait -- cancel --> cancelled
//   leased -- cancel --> cancelling -- stopped --> cancelled
enum class TaskState {
  kQueued,
  kBlocked,  // until the tasks that it depends on are done
  kLeased,
  kRetryWait,
  kCancelling,
  kDone,
  kFailed,
  kCancelled
};

enum class TaskEvent {
  kBlock,    // tasks that it depends on are not done
  kReady,    // they are
  kLease,    // a worker was given the task
  kFinish,   // the worker reported a manifest
  kRequeue,  // the attempt ended without blame on the task (infrastructure)
  kRetry,    // the attempt failed and another will be made later
  kDue,      // the wait before that attempt is over
  kFail,     // the task failed for good
  kCancel,   // the client cancelled the job, or another of its tasks failed for good
  kStopped,  // the worker has stopped (or lost) the cancelled attempt
  kRedo,     // a finished task must run again: its outputs were lost before they were published
  kRedrive,  // its dead job is tried again
};

// The legal transitions, all in one table (task.cc). Returns nullopt for an illegal one.
std::optional<TaskState> NextState(TaskState state, TaskEvent event);

enum class TaskKind { kTranscode, kProbe, kExcerpt };

// Where the bytes of a job come from. One of the two is set.
struct Input {
  std::string upload;  // an upload's id
  std::string path;    // relative to the configured library folder

  bool operator==(const Input&) const = default;
};

// The moment of an input about which an excerpt is cut. One of the two is set; both in seconds.
struct ExcerptSpec {
  std::optional<double> pts_seconds;    // on the input's own time line
  std::optional<double> media_seconds;  // since the first moment of the input

  bool operator==(const ExcerptSpec&) const = default;
};

// One task as it is handed to millrace-encode, in work/<task>.<fence>/task.json.
struct TaskDocument {
  TaskKind kind = TaskKind::kTranscode;
  std::string task_id;
  std::string job_id;
  Fence fence = 0;
  int attempt = 1;
  std::string input_path;  // absolute; resolved by the worker from its own media store
  std::string input_name;  // the name that the client gave the file, for people
  EncodeSpec spec;         // of a transcode; else empty
  ExcerptSpec excerpt;     // of an excerpt; else empty
  std::string output_dir;  // absolute; an existing, empty folder; media is written here only
  int threads = 0;         // for codecs; 0: as many as there are processors

  static constexpr int kVersion = 1;
};

nlohmann::json ToJson(const TaskDocument& task);
// Throws Error{kInvalidRequest} naming what is missing or wrong, or the version if it is unknown.
TaskDocument TaskFromJson(const nlohmann::json& json);

// A remark on a job that succeeded nevertheless, e.g. {"frames_missing", "12 of 300 frames …"}.
struct Warning {
  std::string code;
  std::string detail;

  bool operator==(const Warning&) const = default;
};

// One file that a task made. `path` is relative to the task's output folder.
struct OutputFile {
  std::string output;  // the name of the OutputSpec
  std::string path;
  int64_t bytes = 0;
  std::string sha256;  // lower-case hex
  std::string media_type;
  std::optional<double> duration_seconds;
  nlohmann::json video;  // null, or {codec, width, height, frames, fps, pixel_format, …}
  nlohmann::json audio;  // null, or {codec, channels, sample_rate, …}

  bool operator==(const OutputFile&) const = default;
};

// What a finished attempt reports: the files, complete and fsynced, and what was learnt.
struct Manifest {
  std::vector<OutputFile> files;
  std::vector<Warning> warnings;
  nlohmann::json media;  // what probing found in the input

  bool operator==(const Manifest&) const = default;
};

nlohmann::json ToJson(const Warning& warning);
nlohmann::json ToJson(const OutputFile& file);
nlohmann::json ToJson(const Manifest& manifest);
Warning WarningFromJson(const nlohmann::json& json);
OutputFile OutputFileFromJson(const nlohmann::json& json);
// Throws Error{kProtocolError} on a manifest with a missing field, an absolute path or "..".
Manifest ManifestFromJson(const nlohmann::json& json);

// How far an attempt is. Measured in media time done against media time planned, weighted by cost;
// kept in memory only. `percent` is 0 to 99 while a task runs: 100 means published.
struct Progress {
  int percent = 0;
  std::string phase;  // "probing", "transcoding", "finalizing", …
  int64_t frames = 0;
  double fps = 0;    // frames per second of wall time
  double speed = 0;  // seconds of media per second of wall time
  double media_seconds = 0;
  std::optional<double> eta_seconds;
  std::vector<std::pair<std::string, int>> outputs;  // name and percent of each output

  bool operator==(const Progress&) const = default;
};

nlohmann::json ToJson(const Progress& progress);
Progress ProgressFromJson(const nlohmann::json& json);

// What the operating system said of an encoder process that has ended.
struct ResourceUsage {
  int64_t peak_rss_bytes = 0;
  double cpu_seconds = 0;
  std::optional<int> exit_status;
  std::optional<int> signal;
};

// Why an attempt ended badly, as the worker reports it. `error.context()` carries what is known of
// the failing stage, stream, PTS and FFmpeg's own words.
struct AttemptFailure {
  Error error;
  ResourceUsage usage;
  std::vector<std::string> log_tail;  // the last lines, oldest first
};

nlohmann::json ToJson(const ResourceUsage& usage);
ResourceUsage ResourceUsageFromJson(const nlohmann::json& json);
nlohmann::json ToJson(const AttemptFailure& failure);
AttemptFailure AttemptFailureFromJson(const nlohmann::json& json);

// One lease of one task by one worker, as the ledger keeps it.
struct Attempt {
  std::string task_id;
  Fence fence = 0;
  int number = 1;  // counts the attempts that were spent, from 1
  int generation = 1;
  std::string worker;
  WallTime started_at{};
  std::optional<WallTime> finished_at;
  std::string outcome;      // "running", "succeeded", "failed", "lost", "released", "cancelled"
  nlohmann::json failure;   // null, or ToJson(AttemptFailure)
  nlohmann::json versions;  // of the worker's build and libraries
};

nlohmann::json ToJson(const Attempt& attempt);

std::string_view NameOf(TaskKind kind);
std::string_view NameOf(TaskState state);
std::string_view NameOf(TaskEvent event);
std::optional<TaskKind> TaskKindFromName(std::string_view name);
std::optional<TaskState> TaskStateFromName(std::string_view name);

}  // namespace millrace
