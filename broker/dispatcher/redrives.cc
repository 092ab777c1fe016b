#include "broker/dispatcher/redrives.h"

#include <string>
#include <utility>

#include "broker/dispatcher/size_prediction.h"
#include "core/base/id.h"
#include "core/model/messages/client_replies.h"

namespace millrace::broker {
namespace {

// Throws Error{kInvalidRequest} naming the first job that the patch does not fit.
void CheckPatch(const std::vector<DeadJob>& jobs, const nlohmann::json& patch) {
  if (patch.is_null()) return;
  for (const DeadJob& dead : jobs) PatchSpec(dead.job.request, patch);
}

message::RedriveManyReply ReplyOf(const RedriveRecord& redrive) {
  return {.count = redrive.count, .redrive = ToJson(redrive)};
}

// Resets retry budgets; keeps the crash history of poison.
void ResetBudgets(TaskRecord& task, bool was_poison) {
  task.attempts_spent = 0;
  task.infrastructure_failures = 0;
  if (!was_poison) task.crashed_workers.clear();
  task.last_worker.clear();
  task.due_at.reset();
  task.manifest = nullptr;
  task.failure = nullptr;
}

bool HaveSpecsOf(const std::vector<TaskRecord>& tasks, const std::vector<TaskRecord>& others) {
  return std::ranges::equal(tasks, others, {}, &TaskRecord::spec, &TaskRecord::spec);
}

// Copies the crash history of the earlier tasks of a poison job to each of its new tasks.
void Inherit(const std::vector<TaskRecord>& earlier, std::vector<TaskRecord>& tasks) {
  const auto failed = std::ranges::find(earlier, TaskState::kFailed, &TaskRecord::state);
  if (failed == earlier.end()) return;
  for (TaskRecord& task : tasks) task.crashed_workers = failed->crashed_workers;
}

void BeginGeneration(Job& job) {
  ++job.generation;
  job.started_at.reset();
  job.finished_at.reset();
  job.files.clear();
  job.published_fence = 0;
  job.warnings.clear();
  job.error = nullptr;
  job.last_progress = {};
}

// With a canary, the first job starts at once and the others wait for it; otherwise all start at
// once.
RedriveRecord MakeRecord(const message::RedriveMany& asked, const std::vector<DeadJob>& jobs,
                         WallTime now) {
  RedriveRecord record{.id = asked.redrive_id,
                       .state = RedriveRecord::State::kReleased,
                       .created_at = now,
                       .count = static_cast<int64_t>(jobs.size()),
                       .canary = "",
                       .canary_generation = 0,
                       .waiting = {},
                       .patch = asked.patch};
  if (!asked.canary) return record;
  record.state = RedriveRecord::State::kWaiting;
  record.canary = jobs[0].job.id;
  record.canary_generation = jobs[0].job.generation + 1;
  for (size_t i = 1; i < jobs.size(); ++i) record.waiting.push_back(jobs[i].job.id);
  return record;
}

}  // namespace

void Redrives::OnRedrive(Draft& draft, const ReplyTo& to, const message::Redrive& asked,
                         std::vector<DeadJob> jobs) {
  const std::string& job_id = asked.job_id;
  if (const JobEntry* live = state_.jobs.Find(job_id)) {
    if (live->job.generation > asked.generation) {
      draft.Reply(to, message::JobReply{.job = parts_.aggregator.ViewOf(*live)});
    } else {
      draft.Refuse(to, NoLetter("job " + job_id + " has not ended"));
    }
    return;
  }
  if (jobs.empty()) {
    draft.Refuse(to, NoLetter("there is no job " + job_id));
    return;
  }
  DeadJob& dead = jobs.front();
  if (dead.job.generation > asked.generation) {
    // The reply to the first redrive was lost, and the job has ended again since.
    draft.Reply(to, message::JobReply{.job = JobView(dead.job, {.attempt = dead.last_attempt})});
  } else if (dead.job.generation != asked.generation || !IsOpen(dead)) {
    draft.Refuse(to, NotOpen(dead));
  } else if (const auto refusal = RefusalOf(jobs, draft.now().monotonic)) {
    draft.Refuse(to, *refusal);
  } else {
    const JobEntry& entry = Start(draft, std::move(dead), asked.patch);
    // Fill slots before the reply, which says whether the job runs at once.
    parts_.leases.FillSlots(draft);
    draft.Reply(to, message::JobReply{.job = parts_.aggregator.ViewOf(entry)});
  }
}

void Redrives::OnRedriveMany(Draft& draft, const ReplyTo& to, const message::RedriveMany& asked,
                             std::vector<DeadJob> jobs) {
  if (!IsId(asked.redrive_id, "rdr_")) {
    throw Error(ErrorCode::kProtocolError, "not a redrive's id: " + asked.redrive_id);
  }
  if (const auto known = state_.redrives.find(asked.redrive_id); known != state_.redrives.end()) {
    draft.Reply(to, ReplyOf(known->second));
    return;
  }
  std::vector<DeadJob> open = parts_.letters.OpenOf(std::move(jobs));
  CheckPatch(open, asked.patch);
  if (asked.dry_run || open.empty()) {
    draft.Reply(to, message::RedriveManyReply{.count = static_cast<int64_t>(open.size())});
    return;
  }
  if (const auto refusal = RefusalOf(open, draft.now().monotonic)) {
    draft.Refuse(to, *refusal);
    return;
  }
  RedriveRecord record = MakeRecord(asked, open, draft.now().wall);
  if (asked.canary) state_.redrives[record.id] = record;
  const size_t first = asked.canary ? 1 : open.size();
  for (size_t i = 0; i < first; ++i) Start(draft, std::move(open[i]), asked.patch);
  draft.Reply(to, ReplyOf(record));
  draft.Put(std::move(record));
}

std::optional<Error> Redrives::RefusalOf(const std::vector<DeadJob>& jobs,
                                         MonotonicTime now) const {
  // Count jobs that wait for a canary too: there is no second check when it has succeeded.
  int64_t bytes = 0;
  for (const DeadJob& dead : jobs) bytes += PredictOutputBytes(dead.job);
  return parts_.admission.RefusalOf(jobs.size(), bytes, now);
}

void Redrives::OnDeadLoaded(Draft& draft, const LoadDead& asked, std::vector<DeadJob> jobs) {
  std::optional<RedriveRecord> redrive = parts_.canaries.Take(asked.redrive_id);
  if (!redrive) return;
  for (DeadJob& dead : parts_.letters.OpenOf(std::move(jobs))) {
    const std::string job_id = dead.job.id;
    try {
      Start(draft, std::move(dead), redrive->patch);
    } catch (const Error& error) {
      // The job's spec has changed since the patch was checked.
      draft.Add(
          Warn{.text = "job not redriven, the patch does not fit it any more",
               .fields = {{"redrive", redrive->id}, {"job", job_id}, {"error", ToJson(error)}}});
    }
  }
  redrive->state = RedriveRecord::State::kReleased;
  redrive->waiting.clear();
  draft.Put(std::move(*redrive));
}

std::vector<TaskRecord> Redrives::TasksOf(const DeadJob& dead, bool changed,
                                          bool was_poison) const {
  if (changed) {
    std::vector<TaskRecord> planned = parts_.admission.Plan(dead.job);
    if (!HaveSpecsOf(planned, dead.tasks)) {
      if (was_poison) Inherit(dead.tasks, planned);
      return planned;
    }
  }
  std::vector<TaskRecord> tasks = dead.tasks;
  for (TaskRecord& task : tasks) {
    ResetBudgets(task, was_poison);
    task.generation = dead.job.generation;
  }
  return tasks;
}

JobEntry& Redrives::Start(Draft& draft, DeadJob dead, const nlohmann::json& patch) {
  // Patch first, as this may throw.
  if (!patch.is_null()) dead.job.request = PatchSpec(dead.job.request, patch);
  BeginGeneration(dead.job);
  const bool was_poison = dead.letter.code == TraitsOf(ErrorCode::kPoison).name;
  std::vector<TaskRecord> tasks = TasksOf(dead, !patch.is_null(), was_poison);
  JobEntry& entry = state_.jobs.Add(std::move(dead.job), std::move(tasks), {});
  for (TaskEntry& task : entry.tasks) {
    if (task.record.state != TaskState::kQueued) draft.Advance(task, TaskEvent::kRedrive);
    draft.Change(task);
  }
  parts_.lifecycle.Queue(draft, entry);
  const int64_t sequence = draft.Advance(entry, JobEvent::kRedrive);
  if (!patch.is_null()) draft.Replace(entry);
  parts_.letters.CloseRedriven(draft, std::move(dead.letter), sequence);
  parts_.canaries.Leave(draft, entry.job.id);
  return entry;
}

}  // namespace millrace::broker
