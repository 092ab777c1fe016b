#include "broker/dispatcher/admission.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>

#include "broker/dispatcher/message_body.h"
#include "broker/dispatcher/report.h"
#include "broker/dispatcher/size_prediction.h"
#include "core/base/id.h"

namespace millrace::broker {
namespace {

struct Submission {
  Job job;
  std::chrono::milliseconds deadline{0};  // since 1970
};

Submission ReadSubmission(const Message& message, WallTime now) {
  return ReadBody(message, [&](const nlohmann::json& body) {
    Submission submission;
    Job& job = submission.job;
    body.at("job_id").get_to(job.id);
    // Ids name folders.
    if (!IsId(job.id, "job_")) throw Error(ErrorCode::kProtocolError, "not a job id: " + job.id);
    job.request = JobRequestFromJson(body.at("request"));
    job.input_facts = body.at("input_facts");
    job.created_at = now;
    job.idempotency_key = body.value("idempotency_key", "");
    job.request_fingerprint = body.value("fingerprint", "");
    submission.deadline = std::chrono::milliseconds(body.at("deadline_unix_ms").get<int64_t>());
    return submission;
  });
}

bool IsPast(std::chrono::milliseconds deadline, WallTime now) {
  return deadline < std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
}

Error IdempotencyConflict(const std::string& job_id) {
  return Error(ErrorCode::kIdempotencyConflict,
               "the key was used for another request, which made job " + job_id, {{"job", job_id}});
}

Error KnownPoison(const std::string& earlier_job) {
  return Error(ErrorCode::kPoison,
               "this input has crashed encoders before; the report of job " + earlier_job +
                   " says how. Submit it with \"force\": true to try again",
               {{"earlier_job", earlier_job}, {"known", true}});
}

Error StorageFull(int64_t free_bytes, int64_t reserved_bytes, int64_t min_free_bytes,
                  int retry_after_seconds) {
  return Error(ErrorCode::kStorageFull,
               "the disk has " + std::to_string(free_bytes) + " bytes left, and the jobs that " +
                   "have been accepted, with this one, will probably write " +
                   std::to_string(reserved_bytes),
               {{"retry_after_seconds", retry_after_seconds},
                {"free_bytes", free_bytes},
                {"reserved_bytes", reserved_bytes},
                {"min_free_bytes", min_free_bytes}});
}

}  // namespace

void Admission::OnSubmit(Draft& draft, const ReplyTo& to, const Message& message) {
  Submission submission = ReadSubmission(message, draft.now().wall);
  Job& job = submission.job;
  // A repeated submission is answered as the first one was, even too late or while draining.
  if (const JobEntry* known = state_.jobs.Find(job.id)) {
    draft.Reply(to, {{"job", parts_.aggregator.ViewOf(*known)}});
    return;
  }
  if (const JobEntry* known = state_.jobs.FindByKey(job.idempotency_key)) {
    if (known->job.request_fingerprint == job.request_fingerprint) {
      draft.Reply(to, {{"job", parts_.aggregator.ViewOf(*known)}});
    } else {
      draft.Refuse(to, IdempotencyConflict(known->job.id));
    }
    return;
  }
  if (IsPast(submission.deadline, draft.now().wall)) {
    draft.Refuse(to, Error(ErrorCode::kDeadlineExceeded, "the submission came after its deadline"));
  } else if (auto refusal = RefusalOf(1, PredictOutputBytes(job), draft.now().monotonic)) {
    draft.Refuse(to, *refusal);
  } else {
    Admit(draft, to, std::move(job));
  }
}

void Admission::Admit(Draft& draft, const ReplyTo& to, Job job) {
  std::vector<TaskRecord> tasks = PlanTasks(job);
  JobEntry& entry = state_.jobs.Add(std::move(job), std::move(tasks), {});
  draft.Insert(entry);
  draft.Append(entry.job, JobEvent::kSubmit);
  const std::string victim = VictimOfSameInput(entry.job);
  if (victim.empty()) {
    Queue(entry);
  } else {
    BuryPoison(draft, entry, victim);
  }
  // Before the reply, which says so if the job runs at once.
  parts_.leases.FillSlots(draft);
  draft.Reply(to, {{"job", parts_.aggregator.ViewOf(entry)}});
}

void Admission::Queue(JobEntry& entry) {
  for (TaskEntry& task : entry.tasks) state_.Enqueue(task);
}

std::string Admission::VictimOfSameInput(const Job& job) const {
  if (state_.poison.empty() || job.request.force) return "";
  return state_.poison.FirstVictim(InputFact(job, "sha256"));
}

void Admission::BuryPoison(Draft& draft, JobEntry& entry, const std::string& victim) {
  for (TaskEntry& task : entry.tasks) {
    // Two crashes of the earlier job, on workers whose names are forgotten: if this job is
    // redriven, one more crash is enough to bury it.
    task.record.crashed_workers = {"", ""};
    parts_.lifecycle.FailUnstarted(draft, task, KnownPoison(victim));
  }
}

void Admission::OnCancel(Draft& draft, const ReplyTo& to, const Message& message) {
  const std::string job_id = ReadBody(
      message, [](const nlohmann::json& body) { return body.at("job_id").get<std::string>(); });
  JobEntry* entry = state_.jobs.Find(job_id);
  if (entry == nullptr) {
    draft.Refuse(to, Error(ErrorCode::kJobNotFound, "there is no such job"));
    return;
  }
  if (entry->job.state == JobState::kPublishing) {
    draft.Refuse(
        to, Error(ErrorCode::kJobFinished, "the job is done and its outputs are being published"));
    return;
  }
  if (parts_.aggregator.FailedTask(*entry) != nullptr) {
    draft.Refuse(
        to, Error(ErrorCode::kJobFinished, "the job has failed and its report is being written"));
    return;
  }
  if (entry->job.state != JobState::kCancelling) parts_.lifecycle.Cancel(draft, *entry);
  draft.Reply(to, {{"job", parts_.aggregator.ViewOf(*entry)}});
}

std::optional<Error> Admission::RefusalOf(size_t count, int64_t bytes, MonotonicTime now) const {
  if (state_.draining) return Error(ErrorCode::kDraining, "the broker is shutting down");
  const JobTable& jobs = state_.jobs;
  const size_t waiting = jobs.CountOf(JobState::kQueued) + jobs.CountOf(JobState::kRetryWait);
  if (waiting + count > parts_.options.max_queued) {
    return Error(ErrorCode::kQueueFull,
                 std::to_string(waiting) + " jobs are waiting already, of at most " +
                     std::to_string(parts_.options.max_queued),
                 {{"retry_after_seconds", SecondsUntilRoom(now)}});
  }
  const int64_t reserved = jobs.reserved_bytes() + bytes;
  const int64_t min_free = parts_.options.min_free_bytes;
  if (min_free > 0 && state_.free_bytes && *state_.free_bytes - reserved < min_free) {
    return StorageFull(*state_.free_bytes, reserved, min_free, SecondsUntilRoom(now));
  }
  return std::nullopt;
}

int Admission::SecondsUntilRoom(MonotonicTime now) const {
  const double per_second = state_.drain_rate.PerMinute(now) / 60;
  return static_cast<int>(std::clamp(std::ceil(1 / std::max(per_second, 1e-3)), 1.0, 60.0));
}

}  // namespace millrace::broker
