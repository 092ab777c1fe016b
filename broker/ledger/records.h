#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "core/base/clock.h"
#include "core/model/job.h"
#include "core/model/messages/events.h"
#include "core/model/task.h"

namespace millrace::broker {

// What the ledger keeps of a task.
struct TaskRecord {
  std::string id;
  std::string job_id;
  int generation = 1;  // of its job: the last that it is a part of

  // The plan, which is written with the task and never changes.
  TaskKind kind = TaskKind::kTranscode;
  std::optional<EncodeSpec> spec;         // the part of its job's that it makes; nullopt: all of it
  std::optional<Input> input;             // nullopt: its job's
  std::vector<std::string> dependencies;  // tasks of its job that are done before it starts

  TaskState state = TaskState::kQueued;
  Fence fence = 0;                  // of the current lease, or of the last one
  int attempts_spent = 0;           // attempts that count against the job's max_attempts
  int infrastructure_failures = 0;  // attempts that ended without blame on the task
  // Where encoders crashed on it: names in order, repeats kept, empty for one that is not known.
  std::vector<std::string> crashed_workers;
  std::string last_worker;         // of the current lease, or of the last one
  std::optional<WallTime> due_at;  // set in kRetryWait
  nlohmann::json manifest;         // null, or of the attempt that finished (kDone)
  nlohmann::json failure;          // null, or of the last attempt that failed
};

// One row of the event log. Sequence numbers have no gaps and no repeats.
struct EventRecord {
  int64_t sequence = 0;
  std::string job_id;
  int generation = 1;
  JobEvent event{};
  JobState state{};  // after the event
  WallTime at{};
};
// The event as it is published and answered.
message::JobEvent MessageOf(const EventRecord& event);

// One place in the dead-letter queue: a job that ended badly, in one generation. The row stays when
// the letter has left the queue; it is the tombstone.
struct DeadLetterRecord {
  enum class State { kOpen, kRedriven, kPurged, kExpired };

  std::string job_id;
  int generation = 1;
  State state = State::kOpen;
  WallTime died_at{};
  std::optional<WallTime> closed_at;  // when it left the queue
  std::string code;                   // of the error that the job ended with
  std::string blame;
  std::string detail;
  std::string stage;      // in which the encoder failed; empty: not known
  std::string codec;      // of the stream that failed; empty: not known
  std::string signature;  // equal for failures that are alike (broker/ledger/failure_signature.h)
  std::string signature_text;  // the same, for people
  std::string input_name;
  std::string input_sha256;  // empty: not known
  std::string worker;        // of the last attempt; empty: none was made
};

std::string_view NameOf(DeadLetterRecord::State state);
std::optional<DeadLetterRecord::State> DeadLetterStateFromName(std::string_view name);
// As clients see it: {"job", "generation", "state", "died_at", "closed_at", "code", "blame",
// "detail", "stage", "codec", "signature", "signature_text", "input_name", "input_sha256",
// "worker"}; null for what is not known.
nlohmann::json ToJson(const DeadLetterRecord& letter);

// Many dead letters that are redriven at once. Behind a canary: it goes first, and the others
// follow only if it succeeds.
struct RedriveRecord {
  enum class State {
    kWaiting,   // for the canary
    kReleased,  // the others have been redriven
    kStopped,   // the canary did not succeed; the others stay dead
  };

  std::string id;  // rdr_…
  State state = State::kWaiting;
  WallTime created_at{};
  int64_t count = 0;                 // of jobs that it was made for
  std::string canary;                // job id
  int canary_generation = 0;         // that was started for it
  std::vector<std::string> waiting;  // job ids, in the order of the queue
  nlohmann::json patch;              // null, or as PatchSpec takes it
};

std::string_view NameOf(RedriveRecord::State state);
std::optional<RedriveRecord::State> RedriveStateFromName(std::string_view name);
nlohmann::json ToJson(const RedriveRecord& redrive);

// Many dead letters that were purged at once, so that the request can be answered once more.
struct PurgeRecord {
  std::string id;     // as its client chose it
  int64_t count = 0;  // of letters
  WallTime created_at{};
};

// A change of what is true. Puts replace the row of that id; of a job, everything but what was
// known at submission (request, input_facts, idempotency_key, request_fingerprint), which InsertJob
// alone writes, and of a task, everything but its plan (kind, spec, input, dependencies), which the
// first PutTask writes.
struct InsertJob {
  Job job;
};
struct PutJob {
  Job job;
};
// A redriven job with a changed spec.
struct ReplaceRequest {
  std::string job_id;
  JobRequest request;
};
struct PutTask {
  TaskRecord task;
};
struct PutAttempt {
  Attempt attempt;
};
struct AppendEvent {
  EventRecord event;
};
// By job id and generation.
struct PutDeadLetter {
  DeadLetterRecord letter;
};
struct PutRedrive {
  RedriveRecord redrive;
};
struct PutPurge {
  PurgeRecord purge;
};
// Removes a job that has ended, with its labels, tasks, attempts, dead letters, and the redrives of
// which it was the canary. Its events stay until Ledger::PruneEvents removes them.
struct RemoveJob {
  std::string job_id;
};
using LedgerChange = std::variant<InsertJob, PutJob, ReplaceRequest, PutTask, PutAttempt,
                                  AppendEvent, PutDeadLetter, PutRedrive, PutPurge, RemoveJob>;

// Everything that has not ended, as the ledger has it: what a broker starts from.
struct Snapshot {
  std::vector<Job> jobs;                // not in a terminal state, oldest first
  std::vector<TaskRecord> tasks;        // of these jobs' current generation, by id
  std::vector<Attempt> attempts;        // of these jobs' current generation, by fence
  std::vector<RedriveRecord> redrives;  // that wait for their canary
  // Media that is known to crash encoders: the SHA-256 of the input of each open dead letter with
  // the code `poison`, and its job.
  std::vector<std::pair<std::string, std::string>> poison;
  // The percentages that clients have seen, by job, of its current generation. Not from the ledger:
  // the loop adds them.
  std::map<std::string, int> shown_percents;
  Fence last_fence = 0;       // the largest that was ever given out
  int64_t last_sequence = 0;  // of the event log
};

struct JobFilter {
  std::vector<JobState> states;  // empty: all
  std::vector<std::pair<std::string, std::string>> labels;
  std::string external_id;  // empty: any
  std::optional<WallTime> created_after;
  std::optional<WallTime> created_before;
  bool newest_first = true;
  int page_size = 50;
  std::string page_token;  // empty: the first page
};

// How a job stands, for whoever only has to know that.
struct JobStanding {
  JobState state{};
  int generation = 1;
  Fence published_fence = 0;  // 0: nothing is published
};

struct DeadLetterFilter {
  std::string state = "open";  // these: empty: any
  std::string code;
  std::string blame;
  std::string signature;
  std::string stage;
  std::string worker;
  std::optional<WallTime> died_after;
  std::optional<WallTime> died_before;
  int page_size = 50;
  std::string page_token;  // empty: the first page; newest first
};

struct DeadLetterPage {
  std::vector<DeadLetterRecord> letters;
  std::string next_page_token;  // empty: this is the last page
};

// Dead letters of one signature.
struct DeadLetterGroup {
  std::string signature;
  std::string signature_text;
  std::string code;
  std::string blame;
  int64_t count = 0;
  int64_t inputs = 0;  // distinct
  WallTime first_at{};
  WallTime last_at{};
  std::string example_job;  // the newest
};

nlohmann::json ToJson(const DeadLetterGroup& group);

struct JobPage {
  std::vector<Job> jobs;
  std::string next_page_token;  // empty: this is the last page
};

}  // namespace millrace::broker
