#include "broker/dispatcher/admission.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <string>
#include <utility>

#include "broker/dispatcher/report.h"
#include "broker/dispatcher/size_prediction.h"
#include "core/model/messages/client_replies.h"

namespace millrace::broker {
namespace {

JobRequest ReadRequest(const nlohmann::json& request) {
  try {
    return JobRequestFromJson(request);
  } catch (const nlohmann::json::exception& error) {
    throw Error(ErrorCode::kProtocolError, std::string("submit: ") + error.what());
  }
}

Job MakeJob(message::Submit submit, WallTime now) {
  Job job;
  job.id = std::move(submit.job_id);
  job.request = ReadRequest(submit.request);
  job.input_facts = std::move(submit.input_facts);
  job.created_at = now;
  job.idempotency_key = std::move(submit.idempotency_key);
  job.request_fingerprint = std::move(submit.fingerprint);
  return job;
}

bool IsPast(int64_t deadline_unix_ms, WallTime now) {
  return std::chrono::milliseconds(deadline_unix_ms) <
         std::chrono::duration_cast<std::chrono::milliseconds>(now.time_since_epoch());
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

void Admission::OnSubmit(Draft& draft, const ReplyTo& to, message::Submit submit,
                         const std::optional<EndedJob>& ended) {
  // First: a repetition is answered as the first submission was, even late or while draining.
  if (Repeat(draft, to, submit, ended)) return;
  const bool late = IsPast(submit.deadline_unix_ms, draft.now().wall);
  Job job = MakeJob(std::move(submit), draft.now().wall);
  if (late) {
    draft.Refuse(to, Error(ErrorCode::kDeadlineExceeded, "the submission came after its deadline"));
  } else if (auto refusal = RefusalOf(1, PredictOutputBytes(job), draft.now().monotonic)) {
    draft.Refuse(to, *refusal);
  } else {
    Admit(draft, to, std::move(job));
  }
}

bool Admission::Repeat(Draft& draft, const ReplyTo& to, const message::Submit& submit,
                       const std::optional<EndedJob>& ended) const {
  const JobEntry* live = state_.jobs.Find(submit.job_id);
  if (live == nullptr) live = state_.jobs.FindByKey(submit.idempotency_key);
  if (live == nullptr && !ended) return false;
  const Job& job = live != nullptr ? live->job : ended->job;
  if (job.id != submit.job_id && job.request_fingerprint != submit.fingerprint) {
    draft.Refuse(to, IdempotencyConflict(job.id));
  } else {
    draft.Reply(
        to, message::JobReply{.job = live != nullptr
                                         ? parts_.aggregator.ViewOf(*live)
                                         : JobView(ended->job, {.attempt = ended->last_attempt})});
  }
  return true;
}

void Admission::Admit(Draft& draft, const ReplyTo& to, Job job) {
  std::vector<TaskRecord> tasks = Plan(job);
  JobEntry& entry = state_.jobs.Add(std::move(job), std::move(tasks), {});
  draft.Insert(entry);
  draft.Append(entry.job, JobEvent::kSubmit);
  const std::string victim = VictimOfSameInput(entry.job);
  if (victim.empty()) {
    parts_.lifecycle.Queue(draft, entry);
  } else {
    BuryPoison(draft, entry, victim);
  }
  // Before the reply, which says so if the job runs at once.
  parts_.leases.FillSlots(draft);
  draft.Reply(to, message::JobReply{.job = parts_.aggregator.ViewOf(entry)});
}

std::vector<TaskRecord> Admission::Plan(const Job& job) const {
  return MakeTasks(job, PlanTasks(job, state_.fleet(), parts_.options.planner));
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
  }
  parts_.lifecycle.FailUnstarted(draft, entry.tasks.front(), KnownPoison(victim));
}

void Admission::OnCancel(Draft& draft, const ReplyTo& to, const message::Cancel& cancel) {
  JobEntry* entry = state_.jobs.Find(cancel.job_id);
  if (entry == nullptr) {
    draft.Refuse(to, Error(ErrorCode::kJobNotFound, "there is no such job"));
    return;
  }
  if (entry->job.state == JobState::kPublishing) {
    draft.Refuse(
        to, Error(ErrorCode::kJobFinished, "the job is done and its outputs are being published"));
    return;
  }
  if (FailedTask(*entry) != nullptr) {
    draft.Refuse(
        to, Error(ErrorCode::kJobFinished, "the job has failed and its report is being written"));
    return;
  }
  if (entry->job.state != JobState::kCancelling) parts_.lifecycle.Cancel(draft, *entry);
  draft.Reply(to, message::JobReply{.job = parts_.aggregator.ViewOf(*entry)});
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
