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

// A task as the ledger stores it.
struct TaskRecord {
  std::string id;
  std::string job_id;
  int generation = 1;  // the last generation of its job that includes this task

  // The plan: written with the task, never changed.
  TaskKind kind = TaskKind::kTranscode;
  std::optional<EncodeSpec> spec;  // the part of the job's spec that it makes; nullopt: all of it
  std::optional<Input> input;      // nullopt: the job's input
  std::vector<std::string> dependencies;  // tasks of the same job that must finish before it starts

  TaskState state = TaskState::kQueued;
  Fence fence = 0;                  // of the current lease, or of the last one
  int attempts_spent = 0;           // attempts that count against the job's max_attempts
  int infrastructure_failures = 0;  // attempts that ended without blame on the task
  // Workers on which an encoder crashed on this task, in order, with repeats; "" for an unknown
  // name.
  std::vector<std::string> crashed_workers;
  std::string last_worker;         // of the current lease, or of the last one
  std::optional<WallTime> due_at;  // set in kRetryWait
  nlohmann::json manifest;         // of the attempt that finished (kDone), else null
  nlohmann::json failure;          // of the last failed attempt; null: none failed
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
// Returns the event in the form in which it is published and sent in replies.
message::JobEvent MessageOf(const EventRecord& event);

// The dead letter of one generation of a job. The row outlives the letter's time in the queue and
// serves as its tombstone.
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
  std::string stage;           // stage in which the encoder failed; empty: not known
  std::string codec;           // codec of the stream that failed; empty: not known
  std::string signature;       // equal for similar failures (broker/ledger/failure_signature.h)
  std::string signature_text;  // the signature in words, for people
  std::string input_name;
  std::string input_sha256;  // empty: not known
  std::string worker;        // worker of the last attempt; empty: none was made
};

std::string_view NameOf(DeadLetterRecord::State state);
std::optional<DeadLetterRecord::State> DeadLetterStateFromName(std::string_view name);
// Returns the letter as clients see it: {"job", "generation", "state", "died_at", "closed_at",
// "code", "blame", "detail", "stage", "codec", "signature", "signature_text", "input_name",
// "input_sha256", "worker"}. Unknown values are null.
nlohmann::json ToJson(const DeadLetterRecord& letter);

// A bulk redrive of dead letters. With a canary, that job goes first, and the others follow only if
// it succeeds.
struct RedriveRecord {
  enum class State {
    kWaiting,   // for the canary
    kReleased,  // the others have been redriven
    kStopped,   // the canary did not succeed; the others stay dead
  };

  std::string id;  // rdr_…
  State state = State::kWaiting;
  WallTime created_at{};
  int64_t count = 0;                 // number of jobs it was made for
  std::string canary;                // job id
  int canary_generation = 0;         // the generation started for the canary
  std::vector<std::string> waiting;  // job ids, in the order of the queue
  nlohmann::json patch;              // as PatchSpec takes it; null: no patch
};

std::string_view NameOf(RedriveRecord::State state);
std::optional<RedriveRecord::State> RedriveStateFromName(std::string_view name);
nlohmann::json ToJson(const RedriveRecord& redrive);

// A bulk purge of dead letters, kept so that a repeated request gets the same reply.
struct PurgeRecord {
  std::string id;     // as its client chose it
  int64_t count = 0;  // of letters
  WallTime created_at{};
};

// A change to the ledger. Each Put replaces the row with that id, except for the fields that only
// the first write sets: for a job, those that InsertJob writes (request, input_facts,
// idempotency_key, request_fingerprint); for a task, its plan (kind, spec, input, dependencies).
struct InsertJob {
  Job job;
};
struct PutJob {
  Job job;
};
// Stores the changed spec of a redriven job.
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
// Replaces the row with the same job id and generation.
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

// Everything in the ledger that has not ended; a broker starts from it.
struct Snapshot {
  std::vector<Job> jobs;                // not in a terminal state, oldest first
  std::vector<TaskRecord> tasks;        // of these jobs' current generation, by id
  std::vector<Attempt> attempts;        // of these jobs' current generation, by fence
  std::vector<RedriveRecord> redrives;  // those that wait for their canary
  // Media known to crash encoders: the input's SHA-256 and the job of each open dead letter with
  // the code `poison`.
  std::vector<std::pair<std::string, std::string>> poison;
  // The percentages that clients have seen, by job, for its current generation. Added by the loop,
  // not read from the ledger.
  std::map<std::string, int> shown_percents;
  Fence last_fence = 0;       // the largest fence ever given out
  int64_t last_sequence = 0;  // the last number in the event log
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

// The state of a job in brief, for callers that need no more.
struct JobStanding {
  JobState state{};
  int generation = 1;
  Fence published_fence = 0;  // 0: nothing is published
};

struct DeadLetterFilter {
  std::string state = "open";  // this state only; empty: any
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

// The dead letters that share a signature.
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
