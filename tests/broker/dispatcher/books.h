#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "broker/dispatcher/dispatcher.h"

namespace millrace::broker {

// A ledger of maps: what a restarted dispatcher starts from. Checks what must be true of every
// commit, whatever the test is about.
class Books {
 public:
  void Commit(const std::vector<LedgerChange>& changes) {
    for (const LedgerChange& change : changes) {
      std::visit([this](const auto& one) { Apply(one); }, change);
    }
    for (const LedgerChange& change : changes) {
      if (const auto* put = std::get_if<PutJob>(&change)) CheckJob(put->job);
      if (const auto* insert = std::get_if<InsertJob>(&change)) CheckJob(insert->job);
      if (const auto* put = std::get_if<PutTask>(&change)) CheckTasks(jobs_.at(put->task.job_id));
    }
  }

  Snapshot Load() const {
    Snapshot snapshot;
    for (const std::string& id : order_) {
      if (!IsTerminal(jobs_.at(id).state)) snapshot.jobs.push_back(jobs_.at(id));
    }
    for (const auto& [id, task] : tasks_) {
      const Job& job = jobs_.at(task.job_id);
      if (!IsTerminal(job.state) && task.generation == job.generation) {
        snapshot.tasks.push_back(task);
      }
    }
    for (const auto& [fence, attempt] : attempts_) {
      const Job& job = jobs_.at(tasks_.at(attempt.task_id).job_id);
      if (!IsTerminal(job.state) && attempt.generation == job.generation) {
        snapshot.attempts.push_back(attempt);
      }
      snapshot.last_fence = fence;
    }
    for (const auto& [id, redrive] : redrives_) {
      if (redrive.state == RedriveRecord::State::kWaiting) snapshot.redrives.push_back(redrive);
    }
    for (const DeadLetterRecord& letter : OpenLetters()) {
      if (letter.code == "poison" && !letter.input_sha256.empty()) {
        snapshot.poison.emplace_back(letter.input_sha256, letter.job_id);
      }
    }
    snapshot.last_sequence = static_cast<int64_t>(events_.size());
    return snapshot;
  }

  const Job& job(const std::string& id) const { return jobs_.at(id); }
  const std::map<std::string, Job>& jobs() const { return jobs_; }
  // The one task of a job, or the first.
  const TaskRecord& task_of(const std::string& job_id) const {
    for (const auto& [id, task] : tasks_) {
      if (task.job_id == job_id && IsCurrent(task)) return task;
    }
    throw std::out_of_range("no task of " + job_id);
  }
  std::vector<TaskRecord> tasks_of(const std::string& job_id) const {
    std::vector<TaskRecord> tasks;
    for (const auto& [id, task] : tasks_) {
      if (task.job_id == job_id && IsCurrent(task)) tasks.push_back(task);
    }
    return tasks;
  }
  // What the loop would hand over of a job that has ended.
  DeadJob Dead(const std::string& job_id) const {
    DeadJob dead{.job = job(job_id), .tasks = tasks_of(job_id), .letter = {}};
    for (const auto& [key, letter] : letters_) {
      if (key.first == job_id) dead.letter = letter;
    }
    for (const auto& [fence, attempt] : attempts_) {
      if (tasks_.at(attempt.task_id).job_id != job_id) continue;
      if (attempt.generation != dead.job.generation) continue;
      dead.last_attempt = std::max(dead.last_attempt, attempt.number);
    }
    return dead;
  }
  const DeadLetterRecord& letter(const std::string& job_id, int generation = 1) const {
    return letters_.at({job_id, generation});
  }
  std::vector<DeadLetterRecord> OpenLetters() const {
    std::vector<DeadLetterRecord> open;
    for (const auto& [key, letter] : letters_) {
      if (letter.state == DeadLetterRecord::State::kOpen) open.push_back(letter);
    }
    return open;
  }
  const RedriveRecord& redrive(const std::string& id) const { return redrives_.at(id); }
  const std::map<std::string, RedriveRecord>& redrives() const { return redrives_; }
  const std::map<std::string, PurgeRecord>& purges() const { return purges_; }
  const Attempt& attempt(Fence fence) const { return attempts_.at(fence); }
  const std::map<Fence, Attempt>& attempts() const { return attempts_; }
  const std::vector<EventRecord>& events() const { return events_; }
  std::vector<JobEvent> EventsOf(const std::string& job_id) const {
    std::vector<JobEvent> events;
    for (const EventRecord& event : events_) {
      if (event.job_id == job_id) events.push_back(event.event);
    }
    return events;
  }

 private:
  bool IsCurrent(const TaskRecord& task) const {
    return task.generation == jobs_.at(task.job_id).generation;
  }

  void Apply(const InsertJob& insert) {
    EXPECT_FALSE(jobs_.contains(insert.job.id)) << "inserted twice";
    order_.push_back(insert.job.id);
    jobs_[insert.job.id] = insert.job;
  }

  void Apply(const PutJob& put) {
    Job& job = jobs_.at(put.job.id);
    if (IsTerminal(job.state)) {
      EXPECT_EQ(job.state, JobState::kDead) << "an ended job was changed";
      EXPECT_EQ(put.job.generation, job.generation + 1);
    } else {
      EXPECT_EQ(put.job.generation, job.generation);
    }
    Job next = put.job;
    next.request = job.request;
    next.input_facts = job.input_facts;
    job = std::move(next);
  }

  void Apply(const PutTask& put) {
    EXPECT_TRUE(jobs_.contains(put.task.job_id));
    const auto known = tasks_.find(put.task.id);
    if (known != tasks_.end()) {
      EXPECT_GE(put.task.fence, known->second.fence);
    }
    tasks_[put.task.id] = put.task;
  }

  void Apply(const PutAttempt& put) {
    const Attempt& attempt = put.attempt;
    EXPECT_TRUE(tasks_.contains(attempt.task_id));
    if (!attempts_.contains(attempt.fence)) {
      EXPECT_TRUE(attempts_.empty() || attempt.fence > attempts_.rbegin()->first);
    } else {
      EXPECT_EQ(attempts_.at(attempt.fence).task_id, attempt.task_id);
    }
    attempts_[attempt.fence] = attempt;
    int running = 0;
    for (const auto& [fence, other] : attempts_) {
      if (other.task_id == attempt.task_id && other.outcome == "running") ++running;
    }
    EXPECT_LE(running, 1) << "two current leases of one task";
  }

  void Apply(const AppendEvent& append) {
    const EventRecord& event = append.event;
    EXPECT_EQ(event.sequence, static_cast<int64_t>(events_.size()) + 1);
    const auto before = states_.find(event.job_id);
    if (before == states_.end()) {
      EXPECT_EQ(event.event, JobEvent::kSubmit);
      EXPECT_EQ(event.state, JobState::kQueued);
    } else {
      EXPECT_EQ(NextState(before->second, event.event), event.state)
          << NameOf(before->second) << " by " << NameOf(event.event);
      transitions_.emplace(before->second, event.event);
    }
    states_[event.job_id] = event.state;
    events_.push_back(event);
  }

  void Apply(const ReplaceRequest& replace) { jobs_.at(replace.job_id).request = replace.request; }

  void Apply(const PutDeadLetter& put) {
    const DeadLetterRecord& letter = put.letter;
    const Job& job = jobs_.at(letter.job_id);
    const auto known = letters_.find({letter.job_id, letter.generation});
    using State = DeadLetterRecord::State;
    if (known == letters_.end()) {
      EXPECT_EQ(letter.state, State::kOpen);
      EXPECT_EQ(letter.generation, job.generation);
      EXPECT_EQ(job.state, JobState::kDead);
      EXPECT_EQ(letter.died_at, job.finished_at);
    } else {
      EXPECT_EQ(known->second.state, State::kOpen) << "a letter left the queue twice";
      EXPECT_NE(letter.state, State::kOpen);
      EXPECT_TRUE(letter.closed_at.has_value());
      const bool redriven = letter.state == State::kRedriven;
      EXPECT_EQ(job.generation, letter.generation + (redriven ? 1 : 0));
    }
    letters_[{letter.job_id, letter.generation}] = letter;
  }

  void Apply(const PutRedrive& put) {
    const auto known = redrives_.find(put.redrive.id);
    if (known != redrives_.end()) {
      EXPECT_EQ(known->second.state, RedriveRecord::State::kWaiting);
      const bool waits = put.redrive.state == RedriveRecord::State::kWaiting;
      if (waits) {
        EXPECT_LT(put.redrive.waiting.size(), known->second.waiting.size());
      }
    }
    redrives_[put.redrive.id] = put.redrive;
  }

  void Apply(const PutPurge& put) {
    EXPECT_TRUE(purges_.emplace(put.purge.id, put.purge).second) << "purged twice";
  }

  void Apply(const RemoveJob& remove) { ADD_FAILURE() << "removed: " << remove.job_id; }

  // The row and the event log say the same, and so do the tasks.
  void CheckJob(const Job& job) const {
    EXPECT_EQ(states_.at(job.id), job.state) << NameOf(job.state);
    CheckTasks(job);
  }

  void CheckTasks(const Job& job) const {
    std::vector<TaskState> states;
    std::string shown;
    for (const TaskRecord& task : tasks_of(job.id)) {
      states.push_back(task.state);
      shown += " " + std::string(NameOf(task.state));
    }
    const std::optional<JobState> made = JobStateOf(states);
    if (!made) {
      EXPECT_NE(job.state, JobState::kSucceeded) << shown;
      EXPECT_NE(job.state, JobState::kCancelled) << shown;
    } else if (job.state == JobState::kSucceeded) {
      EXPECT_EQ(*made, JobState::kPublishing) << shown;
    } else {
      EXPECT_EQ(*made, job.state) << shown;
    }
  }

  std::vector<std::string> order_;
  std::map<std::string, Job> jobs_;
  std::map<std::string, TaskRecord> tasks_;
  std::map<Fence, Attempt> attempts_;
  std::vector<EventRecord> events_;
  std::map<std::string, JobState> states_;
  std::set<std::pair<JobState, JobEvent>> transitions_;
  std::map<std::pair<std::string, int>, DeadLetterRecord> letters_;
  std::map<std::string, RedriveRecord> redrives_;
  std::map<std::string, PurgeRecord> purges_;

 public:
  const std::set<std::pair<JobState, JobEvent>>& transitions() const { return transitions_; }
};

}  // namespace millrace::broker
