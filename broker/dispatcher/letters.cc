#include "broker/dispatcher/letters.h"

#include <string>
#include <string_view>
#include <utility>

#include "broker/dispatcher/report.h"
#include "core/model/messages/client_replies.h"

namespace millrace::broker {
namespace {

using LetterState = DeadLetterRecord::State;

void AnnounceLetter(Draft& draft, const DeadLetterRecord& letter, std::string_view event,
                    int64_t sequence) {
  draft.Announce(message::DeadLetterEvent{.seq = sequence,
                                          .job = letter.job_id,
                                          .generation = letter.generation,
                                          .event = std::string(event),
                                          .code = letter.code,
                                          .signature = letter.signature,
                                          .at = FormatTime(draft.now().wall)});
}

}  // namespace

Error NoLetter(const std::string& why) { return Error(ErrorCode::kDeadLetterNotFound, why); }

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

std::vector<DeadJob> Letters::OpenOf(std::vector<DeadJob> jobs) const {
  std::erase_if(jobs, [this](const DeadJob& dead) {
    return !IsOpen(dead) || state_.jobs.Find(dead.job.id) != nullptr;
  });
  return jobs;
}

void Letters::Open(Draft& draft, const JobEntry& entry, const Error& cause, int64_t sequence) {
  DeadLetterRecord letter = MakeDeadLetterRecord(entry, cause, draft.now().wall);
  if (cause.code() == ErrorCode::kPoison) {
    state_.poison.Remember(letter.input_sha256, letter.job_id);
  }
  AnnounceLetter(draft, letter, "arrived", sequence);
  draft.Put(std::move(letter));
}

void Letters::CloseRedriven(Draft& draft, DeadLetterRecord letter, int64_t sequence) {
  letter.state = LetterState::kRedriven;
  letter.closed_at = draft.now().wall;
  AnnounceLetter(draft, letter, "redriven", sequence);
  state_.poison.Forget(letter.input_sha256, letter.job_id);
  draft.Put(std::move(letter));
}

DeadLetterRecord Letters::Remove(Draft& draft, const DeadJob& dead, LetterState state) {
  DeadLetterRecord letter = dead.letter;
  letter.state = state;
  letter.closed_at = draft.now().wall;
  const int64_t sequence = draft.Append(dead.job, JobEvent::kPurge);
  AnnounceLetter(draft, letter, NameOf(state), sequence);
  state_.poison.Forget(letter.input_sha256, letter.job_id);
  draft.Put(letter);
  draft.Add(RemoveDeadLetter{.job_id = letter.job_id});
  return letter;
}

void Letters::OnPurge(Draft& draft, const ReplyTo& to, const message::Purge& purge,
                      std::vector<DeadJob> jobs) {
  const std::string& job_id = purge.job_id;
  if (state_.jobs.Find(job_id) != nullptr) {
    draft.Refuse(to, NoLetter("job " + job_id + " has not ended"));
    return;
  }
  if (jobs.empty()) {
    draft.Refuse(to, NoLetter("there is no job " + job_id));
    return;
  }
  DeadJob& dead = jobs.front();
  if (IsOpen(dead)) {
    dead.letter = Remove(draft, dead, LetterState::kPurged);
  } else if (dead.job.state != JobState::kDead || dead.letter.state == LetterState::kRedriven) {
    draft.Refuse(to, NotOpen(dead));
    return;
  }
  draft.Reply(to, message::DeadLetterReply{.dead_letter = ToJson(dead.letter)});
}

void Letters::OnPurgeMany(Draft& draft, const ReplyTo& to, const message::PurgeMany& purge,
                          std::vector<DeadJob> jobs) {
  const std::vector<DeadJob> open = OpenOf(std::move(jobs));
  const auto count = static_cast<int64_t>(open.size());
  if (!purge.dry_run) {
    if (purge.expected != count) {
      draft.Refuse(
          to, Error(ErrorCode::kPreconditionFailed,
                    std::to_string(count) + " dead letters would be purged; `expected` must say so",
                    {{"count", count}}));
      return;
    }
    for (const DeadJob& dead : open) Remove(draft, dead, LetterState::kPurged);
    draft.Put(PurgeRecord{.id = purge.purge_id, .count = count, .created_at = draft.now().wall});
  }
  draft.Reply(to, message::PurgeManyReply{.count = count});
}

void Letters::OnExpired(Draft& draft, std::vector<DeadJob> jobs) {
  for (const DeadJob& dead : OpenOf(std::move(jobs))) Remove(draft, dead, LetterState::kExpired);
}

}  // namespace millrace::broker
