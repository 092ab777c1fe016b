#include <algorithm>
#include <cmath>
#include <utility>

#include "broker/dispatcher/impl.h"
#include "broker/dispatcher/report.h"
#include "broker/dispatcher/size_prediction.h"
#include "core/base/id.h"

// Which jobs are taken, and what is answered to the others.

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

}  // namespace

void Dispatcher::Impl::OnSubmit(Draft& draft, const std::string& route, const Message& message) {
  Submission submission = ReadSubmission(message, draft.now().wall);
  Job& job = submission.job;
  // A repeated submission is answered as the first one was, even too late or while draining.
  if (const JobEntry* known = jobs_.Find(job.id)) {
    ReplyJob(draft, route, message, *known);
    return;
  }
  if (const JobEntry* known = jobs_.FindByKey(job.idempotency_key)) {
    if (known->job.request_fingerprint == job.request_fingerprint) {
      ReplyJob(draft, route, message, *known);
    } else {
      Refuse(draft, route, message, IdempotencyConflict(known->job.id));
    }
    return;
  }
  if (IsPast(submission.deadline, draft.now().wall)) {
    Refuse(draft, route, message,
           Error(ErrorCode::kDeadlineExceeded, "the submission came after its deadline"));
  } else if (auto refusal = RefusalOf(1, PredictOutputBytes(job), draft.now().monotonic)) {
    Refuse(draft, route, message, *refusal);
  } else {
    std::vector<TaskRecord> tasks = PlanTasks(job);
    JobEntry& entry = jobs_.Add(std::move(job), std::move(tasks), {});
    draft.Insert(entry);
    draft.Append(entry.job, JobEvent::kSubmit);
    Admit(draft, entry);
    FillSlots(draft);
    ReplyJob(draft, route, message, entry);
  }
}

void Dispatcher::Impl::Admit(Draft& draft, JobEntry& entry) {
  std::string victim;
  if (!poison_.empty() && !entry.job.request.force) {
    victim = poison_.FirstVictim(InputFact(entry.job, "sha256"));
  }
  for (TaskEntry& task : entry.tasks) {
    if (victim.empty()) {
      Enqueue(task);
      continue;
    }
    task.record.failure = {{"error", ToJson(KnownPoison(victim))}};
    // Of the earlier job, on workers that are not known any more: if this one is redriven and
    // crashes once more, that is enough.
    task.record.crashed_workers = {"", ""};
    Advance(draft, task, TaskEvent::kFail);
    BeginBury(draft, task);
  }
}

std::optional<Error> Dispatcher::Impl::RefusalOf(size_t count, int64_t bytes,
                                                 MonotonicTime now) const {
  if (draining_) return Error(ErrorCode::kDraining, "the broker is shutting down");
  const size_t waiting = jobs_.CountOf(JobState::kQueued) + jobs_.CountOf(JobState::kRetryWait);
  if (waiting + count > options_.max_queued) {
    return Error(ErrorCode::kQueueFull,
                 std::to_string(waiting) + " jobs are waiting already, of at most " +
                     std::to_string(options_.max_queued),
                 {{"retry_after_seconds", SecondsUntilRoom(now)}});
  }
  const int64_t reserved = jobs_.reserved_bytes() + bytes;
  if (options_.min_free_bytes > 0 && free_bytes_ &&
      *free_bytes_ - reserved < options_.min_free_bytes) {
    return Error(
        ErrorCode::kStorageFull,
        "the disk has " + std::to_string(*free_bytes_) + " bytes left, and the jobs that " +
            "have been accepted, with this one, will probably write " + std::to_string(reserved),
        {{"retry_after_seconds", SecondsUntilRoom(now)},
         {"free_bytes", *free_bytes_},
         {"reserved_bytes", reserved},
         {"min_free_bytes", options_.min_free_bytes}});
  }
  return std::nullopt;
}

int Dispatcher::Impl::SecondsUntilRoom(MonotonicTime now) const {
  const double per_second = drain_rate_.PerMinute(now) / 60;
  return static_cast<int>(std::clamp(std::ceil(1 / std::max(per_second, 1e-3)), 1.0, 60.0));
}

}  // namespace millrace::broker
