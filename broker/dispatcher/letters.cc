#include <algorithm>
#include <tuple>
#include <utility>

#include "broker/dispatcher/impl.h"
#include "broker/dispatcher/report.h"
#include "broker/dispatcher/size_prediction.h"

// Dead letters: how they come into the queue, and how they leave it.

namespace millrace::broker {
namespace {

using LetterState = DeadLetterRecord::State;

Error NoLetter(const std::string& why) { return Error(ErrorCode::kDeadLetterNotFound, why); }

// Why a job whose letter is not open cannot be redriven or purged.
Error NotOpen(const DeadJob& dead) {
  if (dead.job.state != JobState::kDead || dead.letter.generation != dead.job.generation) {
    return NoLetter("job " + dead.job.id + " is not dead but " +
                    std::string(NameOf(dead.job.state)));
  }
  return NoLetter("the dead letter of job " + dead.job.id +
                  " has left the queue: " + std::string(NameOf(dead.letter.state)));
}

bool IsOpen(const DeadJob& dead) {
  return dead.job.state == JobState::kDead && dead.letter.job_id == dead.job.id &&
         dead.letter.generation == dead.job.generation && dead.letter.state == LetterState::kOpen;
}

// As if it had never run, but for what it is known to do to encoders.
void ResetBudgets(TaskRecord& task, bool was_poison) {
  task.attempts_spent = 0;
  task.infrastructure_failures = 0;
  if (!was_poison) task.crashed_workers.clear();
  task.last_worker.clear();
  task.due_at.reset();
  task.manifest = nullptr;
  task.failure = nullptr;
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

}  // namespace

Outcome Dispatcher::Impl::OnRedrive(const std::string& route, const Message& message,
                                    std::vector<DeadJob> jobs, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  if (message.type == message::kRedrive) {
    OnRedriveOne(draft, route, message, std::move(jobs));
  } else {
    OnRedriveMany(draft, route, message, std::move(jobs));
  }
  return Conclude(draft);
}

void Dispatcher::Impl::OnRedriveOne(Draft& draft, const std::string& route, const Message& message,
                                    std::vector<DeadJob> jobs) {
  const auto [job_id, generation, patch] = ReadBody(message, [](const nlohmann::json& body) {
    return std::tuple(body.at("job_id").get<std::string>(), body.at("generation").get<int>(),
                      body.value("patch", nlohmann::json()));
  });
  if (const JobEntry* live = jobs_.Find(job_id)) {
    if (live->job.generation > generation) {
      ReplyJob(draft, route, message, *live);
    } else {
      Refuse(draft, route, message, NoLetter("job " + job_id + " has not ended"));
    }
    return;
  }
  if (jobs.empty()) {
    Refuse(draft, route, message, NoLetter("there is no job " + job_id));
    return;
  }
  DeadJob& dead = jobs.front();
  if (dead.job.generation > generation) {
    // Its client has not heard that it was redriven, and it has ended again meanwhile.
    draft.Reply(route, {.type = std::string(message::kOk),
                        .id = message.id,
                        .body = {{"job", JobView(dead.job, {.attempt = dead.last_attempt})}}});
  } else if (dead.job.generation != generation || !IsOpen(dead)) {
    Refuse(draft, route, message, NotOpen(dead));
  } else if (auto refusal = RefusalOf(1, PredictOutputBytes(dead.job), draft.now().monotonic)) {
    Refuse(draft, route, message, *refusal);
  } else {
    const JobEntry& entry = Redrive(draft, std::move(dead), patch);
    FillSlots(draft);
    ReplyJob(draft, route, message, entry);
  }
}

std::vector<DeadJob> Dispatcher::Impl::Open(std::vector<DeadJob> jobs) const {
  std::erase_if(jobs, [this](const DeadJob& dead) {
    return !IsOpen(dead) || jobs_.Find(dead.job.id) != nullptr;
  });
  return jobs;
}

JobEntry& Dispatcher::Impl::Redrive(Draft& draft, DeadJob dead, const nlohmann::json& patch) {
  // First, as it may be refused.
  if (!patch.is_null()) dead.job.request = PatchSpec(dead.job.request, patch);
  BeginGeneration(dead.job);
  const bool was_poison = dead.letter.code == TraitsOf(ErrorCode::kPoison).name;
  for (TaskRecord& task : dead.tasks) ResetBudgets(task, was_poison);
  JobEntry& entry = jobs_.Add(std::move(dead.job), std::move(dead.tasks), {});
  for (TaskEntry& task : entry.tasks) {
    Advance(draft, task, TaskEvent::kRedrive);
    Enqueue(task);
  }
  const int64_t sequence = Advance(draft, entry, JobEvent::kRedrive);
  if (!patch.is_null()) draft.Replace(entry);

  DeadLetterRecord& letter = dead.letter;
  letter.state = LetterState::kRedriven;
  letter.closed_at = draft.now().wall;
  AnnounceLetter(draft, letter, "redriven", sequence);
  if (was_poison) poison_.Forget(letter.input_sha256, letter.job_id);
  draft.Put(std::move(letter));
  LeaveRedrives(draft, entry.job.id);
  return entry;
}

void Dispatcher::Impl::OpenLetter(Draft& draft, const JobEntry& entry, const Error& cause,
                                  int64_t sequence) {
  DeadLetterRecord letter = MakeDeadLetterRecord(entry, cause, draft.now().wall);
  if (cause.code() == ErrorCode::kPoison) poison_.Remember(letter.input_sha256, letter.job_id);
  AnnounceLetter(draft, letter, "arrived", sequence);
  draft.Put(std::move(letter));
}

void Dispatcher::Impl::AnnounceLetter(Draft& draft, const DeadLetterRecord& letter,
                                      std::string_view event, int64_t sequence) {
  draft.Announce(topic::kDeadLetter, {{"seq", sequence},
                                      {"job", letter.job_id},
                                      {"generation", letter.generation},
                                      {"event", event},
                                      {"code", letter.code},
                                      {"signature", letter.signature},
                                      {"at", FormatTime(draft.now().wall)}});
}

Outcome Dispatcher::Impl::OnPurge(const std::string& route, const Message& message,
                                  std::vector<DeadJob> jobs, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  if (message.type == message::kPurge) {
    OnPurgeOne(draft, route, message, std::move(jobs));
  } else {
    OnPurgeMany(draft, route, message, std::move(jobs));
  }
  return draft.Finish();
}

void Dispatcher::Impl::OnPurgeOne(Draft& draft, const std::string& route, const Message& message,
                                  std::vector<DeadJob> jobs) {
  const std::string job_id = ReadBody(
      message, [](const nlohmann::json& body) { return body.at("job_id").get<std::string>(); });
  if (jobs_.Find(job_id) != nullptr || jobs.empty()) {
    const bool live = jobs_.Find(job_id) != nullptr;
    Refuse(draft, route, message,
           NoLetter(live ? "job " + job_id + " has not ended" : "there is no job " + job_id));
    return;
  }
  DeadJob& dead = jobs.front();
  const LetterState state = dead.letter.state;
  if (IsOpen(dead)) {
    dead.letter = Close(draft, dead, LetterState::kPurged);
  } else if (dead.job.state != JobState::kDead || state == LetterState::kRedriven) {
    Refuse(draft, route, message, NotOpen(dead));
    return;
  }
  draft.Reply(route, {.type = std::string(message::kOk),
                      .id = message.id,
                      .body = {{"dead_letter", ToJson(dead.letter)}}});
}

void Dispatcher::Impl::OnPurgeMany(Draft& draft, const std::string& route, const Message& message,
                                   std::vector<DeadJob> jobs) {
  const auto [purge_id, dry_run, expected] = ReadBody(message, [](const nlohmann::json& body) {
    return std::tuple(body.at("purge_id").get<std::string>(), body.at("dry_run").get<bool>(),
                      body.value("expected", int64_t{-1}));
  });
  std::vector<DeadJob> open = Open(std::move(jobs));
  const auto count = static_cast<int64_t>(open.size());
  if (!dry_run) {
    if (expected != count) {
      Refuse(draft, route, message,
             Error(ErrorCode::kPreconditionFailed,
                   std::to_string(count) + " dead letters would be purged; `expected` must say so",
                   {{"count", count}}));
      return;
    }
    for (DeadJob& dead : open) Close(draft, std::move(dead), LetterState::kPurged);
    draft.Put(PurgeRecord{.id = purge_id, .count = count, .created_at = draft.now().wall});
  }
  draft.Reply(route,
              {.type = std::string(message::kOk), .id = message.id, .body = {{"count", count}}});
}

Outcome Dispatcher::Impl::OnExpired(std::vector<DeadJob> jobs, Now now) {
  Draft draft(now, jobs_, last_sequence_);
  for (DeadJob& dead : Open(std::move(jobs))) Close(draft, std::move(dead), LetterState::kExpired);
  return draft.Finish();
}

DeadLetterRecord Dispatcher::Impl::Close(Draft& draft, DeadJob dead, LetterState state) {
  DeadLetterRecord& letter = dead.letter;
  letter.state = state;
  letter.closed_at = draft.now().wall;
  const int64_t sequence = draft.Append(dead.job, JobEvent::kPurge);
  AnnounceLetter(draft, letter, NameOf(state), sequence);
  poison_.Forget(letter.input_sha256, letter.job_id);
  draft.Put(letter);
  draft.Add(RemoveDeadLetter{.job_id = letter.job_id});
  return std::move(letter);
}

}  // namespace millrace::broker
