#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/model/encode_spec.h"
#include "core/model/task.h"

namespace millrace {

// What a client asked for. Jobs are the sum of their tasks.
//
//            start           publish             published
//   queued --------> running ---------> publishing ---------> succeeded
//     ^  ^             | | \                |
//     |  |   requeue   | |  \ cancel        | redo (its files are gone)
//     |  `-------------' |   `-> cancelling --- stopped --> cancelled
//     |   due            | retry                                ^
//     `------ retry_wait <                                      |
//   queued, retry_wait -- cancel -------------------------------'
//   queued, running, retry_wait, publishing -- bury --> dead -- redrive --> queued
//                                                       dead -- purge --> dead
enum class JobState {
  kQueued,
  kRunning,
  kPublishing,
  kSucceeded,
  kRetryWait,
  kCancelling,
  kCancelled,
  kDead,
};

enum class JobEvent {
  kStart,      // its first task was leased
  kRequeue,    // the attempt ended without blame on the job
  kRetry,      // the attempt failed and another will be made later
  kDue,        // the wait before that attempt is over
  kPublish,    // all tasks are done; the manifest is in the ledger
  kPublished,  // the outputs are in their final place
  kRedo,       // the outputs were lost before they were published
  kCancel,
  kStopped,  // the last worker has let go of the cancelled job
  kBury,     // its dead-letter folder is complete
  kSubmit,   // it came into being, queued: the first event of every job; leads out of no state
  kRedrive,  // a dead job is tried again, as a new generation
  kPurge,    // the dead-letter folder of a dead job was removed; the job stays dead
};

// The legal transitions, all in one table (job.cc). Returns nullopt for an illegal one.
std::optional<JobState> NextState(JobState state, JobEvent event);
// Whether a job in this state has ended: nothing happens to it unless somebody asks for it.
bool IsTerminal(JobState state);

inline constexpr int kDefaultPriority = 50;  // of 0 to 100, high first
inline constexpr int kDefaultMaxAttempts = 5;

// The validated form of POST /v1/jobs, with the spec frozen.
struct JobRequest {
  Input input;
  EncodeSpec spec;
  int priority = kDefaultPriority;
  std::string external_id;
  std::map<std::string, std::string> labels;
  int max_attempts = kDefaultMaxAttempts;
  bool force = false;  // encode even media that is known to crash encoders
};

// Throws Error{kInvalidRequest} naming every wrong field.
JobRequest ParseJobRequest(const nlohmann::json& body, const PresetSource& presets);
// The request with `patch` merged into its frozen spec, {"outputs", "clip"}, as RFC 7396 says: an
// array replaces the array, null removes. Whoever passes a patch on has replaced presets by what
// they stand for. Throws Error{kInvalidRequest} naming every wrong field: "/spec/outputs/0/video".
JobRequest PatchSpec(const JobRequest& request, const nlohmann::json& patch);
// Reads {"upload": id} or {"path": relative}; appends to `errors` what is wrong.
Input ParseInput(const nlohmann::json& json, const std::string& pointer,
                 std::vector<FieldError>& errors);

// The persisted part of a job.
struct Job {
  std::string id;
  JobRequest request;
  nlohmann::json input_facts;  // name, bytes, sha256 of the input as known at submission
  int generation = 1;          // grows with each redrive
  JobState state = JobState::kQueued;
  WallTime created_at{};
  std::optional<WallTime> started_at;   // first lease of this generation
  std::optional<WallTime> finished_at;  // the terminal transition
  nlohmann::json media;                 // null until an attempt has probed the input
  std::vector<OutputFile> files;        // of the published attempt
  Fence published_fence = 0;            // which attempt's outputs are the job's; 0: none
  std::vector<Warning> warnings;
  nlohmann::json error;  // null, or ToJson(Error): why the job is dead, or waits for its retry
  // How far it was when it ended without outputs: the percents that clients saw last.
  Progress last_progress;
  // The Idempotency-Key that it was submitted with, and the SHA-256 of that request; empty: none.
  // Written once. At most one job of a ledger has a given key.
  std::string idempotency_key;
  std::string request_fingerprint;
};

nlohmann::json ToJson(const JobRequest& request);
JobRequest JobRequestFromJson(const nlohmann::json& json);
nlohmann::json ToJson(const Input& input);
Input InputFromJson(const nlohmann::json& json);

// What is known of a job only while it is in the broker's memory.
struct LiveJob {
  Progress progress;
  int attempt = 0;
  std::string worker;
  std::optional<int64_t> queue_position;  // 1: next
  std::optional<WallTime> retry_at;
};

// The job as clients see it (docs/http-api.md), without links.
nlohmann::json JobView(const Job& job, const LiveJob& live);

// The state of a job whose tasks are in these states; kPublishing if all are done. nullopt: a task
// has failed for good, and the job stays as it is until the others have stopped and it is buried.
std::optional<JobState> JobStateOf(const std::vector<TaskState>& tasks);

std::string_view NameOf(JobState state);
std::string_view NameOf(JobEvent event);
std::optional<JobState> JobStateFromName(std::string_view name);
std::optional<JobEvent> JobEventFromName(std::string_view name);

}  // namespace millrace
