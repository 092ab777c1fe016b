#include "broker/dispatcher/draft.h"

#include <algorithm>
#include <iterator>
#include <stdexcept>
#include <utility>

namespace millrace::broker {
namespace {

template <typename State, typename Event>
State MustNext(State state, Event event) {
  const std::optional<State> next = NextState(state, event);
  if (next) return *next;
  throw std::logic_error("no transition leads from " + std::string(NameOf(state)) + " by " +
                         std::string(NameOf(event)));
}

}  // namespace

void Draft::Insert(JobEntry& entry) {
  entry.inserted = true;
  Change(entry);
  for (TaskEntry& task : entry.tasks) Change(task);
}

void Draft::Change(JobEntry& entry) {
  if (entry.changed) return;
  entry.changed = true;
  changed_jobs_.push_back(&entry);
}

void Draft::Change(TaskEntry& task) {
  if (task.changed) return;
  task.changed = true;
  changed_tasks_.push_back(&task);
}

void Draft::Put(const Attempt& attempt) { attempts_.push_back(attempt); }

void Draft::Replace(const JobEntry& entry) {
  others_.emplace_back(ReplaceRequest{.job_id = entry.job.id, .request = entry.job.request});
}

void Draft::Put(DeadLetterRecord letter) { others_.emplace_back(PutDeadLetter{std::move(letter)}); }

void Draft::Put(RedriveRecord redrive) { others_.emplace_back(PutRedrive{std::move(redrive)}); }
void Draft::Put(PurgeRecord purge) { others_.emplace_back(PutPurge{std::move(purge)}); }

void Draft::Advance(TaskEntry& task, TaskEvent event) {
  task.record.state = MustNext(task.record.state, event);
  Change(task);
}

int64_t Draft::Advance(JobEntry& entry, JobEvent event) {
  state_.jobs.SetState(entry, MustNext(entry.job.state, event));
  Change(entry);
  return Append(entry.job, event);
}

int64_t Draft::Append(const Job& job, JobEvent event) {
  events_.push_back({.sequence = ++state_.last_sequence,
                     .job_id = job.id,
                     .generation = job.generation,
                     .event = event,
                     .state = job.state,
                     .at = now_.wall});
  Announce(MessageOf(events_.back()));
  return state_.last_sequence;
}

void Draft::Refuse(const ReplyTo& client, const Error& error) {
  Add(ReplyToClient{.route = client.route, .message = ErrorReply(client.request_id, error)});
}

void Draft::Announce(Event event) { Add(broker::Announce{.event = std::move(event)}); }

void Draft::AnnounceWorker(const std::string& name, std::string_view event) {
  Announce(message::WorkerEvent{
      .worker = name, .event = std::string(event), .at = FormatTime(now_.wall)});
}

void Draft::Add(Effect effect) { effects_.push_back(std::move(effect)); }

Outcome Draft::Finish() {
  Outcome outcome;
  outcome.changes.reserve(changed_jobs_.size() + changed_tasks_.size() + attempts_.size() +
                          events_.size() + others_.size());
  // Jobs before what refers to them.
  for (JobEntry* entry : changed_jobs_) PutJob(*entry, outcome);
  for (TaskEntry* task : changed_tasks_) {
    task->changed = false;
    outcome.changes.emplace_back(PutTask{task->record});
  }
  for (Attempt& attempt : attempts_) outcome.changes.emplace_back(PutAttempt{std::move(attempt)});
  for (EventRecord& event : events_) outcome.changes.emplace_back(AppendEvent{std::move(event)});
  std::ranges::move(others_, std::back_inserter(outcome.changes));
  outcome.effects = std::move(effects_);
  for (JobEntry* entry : changed_jobs_) {
    if (IsTerminal(entry->job.state)) state_.jobs.Take(entry->job.id);
  }
  return outcome;
}

void Draft::PutJob(JobEntry& entry, Outcome& outcome) {
  if (entry.inserted) {
    outcome.changes.emplace_back(InsertJob{entry.job});
  } else {
    outcome.changes.emplace_back(broker::PutJob{entry.job});
  }
  entry.inserted = false;
  entry.changed = false;
}

}  // namespace millrace::broker
