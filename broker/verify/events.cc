#include "broker/verify/events.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "broker/ledger/sqlite/sqlite_rows.h"

namespace millrace::broker {
namespace {

constexpr const char* kSequenceCheck = "sequence";
constexpr const char* kEventsCheck = "events";

// Returns "event 3 is" or "events 3 to 5 are".
std::string EventsAre(int64_t first, int64_t last) {
  if (first == last) return "event " + std::to_string(first) + " is";
  return "events " + std::to_string(first) + " to " + std::to_string(last) + " are";
}

// An event as the ledger stores it. A malformed one is a finding, not an exception.
struct StoredEvent {
  int64_t sequence = 0;
  std::string job_id;
  int generation = 0;
  std::string event;
  std::string state;
};

StoredEvent ReadStoredEvent(Execution& execution) {
  RowReader row(execution);
  StoredEvent event;
  event.sequence = row.Integer();
  event.job_id = row.Text();
  event.generation = row.Int();
  event.event = row.Text();
  event.state = row.Text();
  return event;
}

// Replays the events of a job and holds the state they have reached.
class Replay {
 public:
  Replay(std::string job_id, Findings& findings)
      : job_id_(std::move(job_id)), findings_(findings) {}

  void Apply(const StoredEvent& stored) {
    const auto event = JobEventFromName(stored.event);
    const auto after = JobStateFromName(stored.state);
    if (!event || !after) {
      Report(stored, "is not known to this build");
      return;
    }
    const bool first = !state_;
    const std::optional<JobState> expected =
        first ? FirstState(*event) : NextState(*state_, *event);
    if (!expected) {
      Report(stored, first ? "is not how a job begins"
                           : "leads out of " + std::string(NameOf(*state_)) + ", which it cannot");
    } else if (*expected != *after) {
      Report(stored, "must lead to " + std::string(NameOf(*expected)));
    }
    const int generation = generation_ + (*event == JobEvent::kRedrive ? 1 : 0);
    if (stored.generation != generation) {
      Report(stored, "is of generation " + std::to_string(stored.generation) + ", expected " +
                         std::to_string(generation));
    }
    // Continue from the ledger's state, so that one mistake makes one finding.
    state_ = after;
    generation_ = stored.generation;
  }

  const std::optional<JobState>& state() const { return state_; }
  int generation() const { return generation_; }

 private:
  static std::optional<JobState> FirstState(JobEvent event) {
    if (event != JobEvent::kSubmit) return std::nullopt;
    return JobState::kQueued;
  }

  void Report(const StoredEvent& stored, const std::string& what) {
    findings_.Add(kEventsCheck, job_id_,
                  "event " + std::to_string(stored.sequence) + " (" + stored.event + " to " +
                      stored.state + ") " + what);
  }

  const std::string job_id_;
  Findings& findings_;
  std::optional<JobState> state_;
  int generation_ = 1;
};

// A job's row.
struct JobRow {
  std::string id;
  std::string state;
  int generation = 0;
};

// Reads the ledger's jobs in the order of their ids.
class JobCursor {
 public:
  explicit JobCursor(SQLite::Database& database)
      : query_(database, "SELECT id, state, generation FROM jobs ORDER BY id") {
    Advance();
  }

  const std::optional<JobRow>& row() const { return row_; }
  void Advance() {
    row_.reset();
    if (!query_->Step()) return;
    RowReader reader(*query_);
    row_.emplace();
    row_->id = reader.Text();
    row_->state = reader.Text();
    row_->generation = reader.Int();
  }

 private:
  OneTime query_;
  std::optional<JobRow> row_;
};

// Walks the events and the jobs side by side.
class EventCheck {
 public:
  EventCheck(SQLite::Database& database, Findings& findings)
      : jobs_(database), findings_(findings) {
    OneTime removed(database,
                    "SELECT job_id, max(last_sequence) FROM removed_jobs GROUP BY job_id");
    while (removed->Step()) {
      RowReader row(*removed);
      std::string id = row.Text();
      removed_[std::move(id)] = row.Integer();
    }
  }

  // Checks the events of one job, which are in order.
  void CheckOne(const std::vector<StoredEvent>& events) {
    const std::string& job_id = events.front().job_id;
    const auto removed = removed_.find(job_id);
    const int64_t boundary = removed == removed_.end() ? 0 : removed->second;
    size_t next = 0;
    if (boundary > 0) {
      Replay before(job_id, findings_);
      for (; next < events.size() && events[next].sequence <= boundary; ++next) {
        before.Apply(events[next]);
      }
      if (before.state() && !IsTerminal(*before.state())) {
        findings_.Add(kEventsCheck, job_id,
                      "was removed while it was " + std::string(NameOf(*before.state())));
      }
    }
    if (next == events.size()) return;
    Replay replay(job_id, findings_);
    for (; next < events.size(); ++next) replay.Apply(events[next]);
    Compare(job_id, replay);
  }

  // Call after the last event.
  void Finish() { ReportEventless(""); }

 private:
  void Compare(const std::string& job_id, const Replay& replay) {
    ReportEventless(job_id);
    const auto& job = jobs_.row();
    if (!job || job->id != job_id) {
      findings_.Add(kEventsCheck, job_id, "has events, but the ledger has no such job");
      return;
    }
    if (replay.state() && NameOf(*replay.state()) != job->state) {
      findings_.Add(
          kEventsCheck, job_id,
          "is " + job->state + ", but its events lead to " + std::string(NameOf(*replay.state())));
    }
    if (replay.generation() != job->generation) {
      findings_.Add(kEventsCheck, job_id,
                    "is in generation " + std::to_string(job->generation) +
                        ", but its events lead to " + std::to_string(replay.generation()));
    }
    jobs_.Advance();
  }

  // Reports jobs without events: those before `id`, or all that are left if it is empty.
  void ReportEventless(const std::string& id) {
    for (; jobs_.row() && (id.empty() || jobs_.row()->id < id); jobs_.Advance()) {
      findings_.Add(kEventsCheck, jobs_.row()->id, "has no events");
    }
  }

  JobCursor jobs_;
  Findings& findings_;
  std::map<std::string, int64_t> removed_;  // the last event of each removed job
};

// Reads the event numbers in use and the removed ranges, in order.
class NumberCursor {
 public:
  explicit NumberCursor(SQLite::Database& database)
      : query_(database,
               "SELECT sequence AS first, sequence AS last FROM events UNION ALL "
               "SELECT first, last FROM removed_events ORDER BY first") {}

  // Returns nullopt at the end.
  std::optional<std::pair<int64_t, int64_t>> Next() {
    if (!query_->Step()) return std::nullopt;
    RowReader row(*query_);
    const int64_t first = row.Integer();
    return std::pair(first, row.Integer());
  }

 private:
  OneTime query_;
};

}  // namespace

void CheckSequence(SQLite::Database& database, Findings& findings) {
  const int64_t given_out =
      database.execAndGet("SELECT value FROM counters WHERE name = 'sequence'").getInt64();
  NumberCursor numbers(database);
  int64_t expected = 1;
  while (const auto range = numbers.Next()) {
    const auto [first, last] = *range;
    if (first > expected) {
      findings.Add(kSequenceCheck, "", EventsAre(expected, first - 1) + " missing");
    } else if (first < expected) {
      findings.Add(
          kSequenceCheck, "",
          EventsAre(first, std::min(last, expected - 1)) + " there although they were removed");
    }
    expected = std::max(expected, last + 1);
  }
  if (expected <= given_out) {
    findings.Add(kSequenceCheck, "", EventsAre(expected, given_out) + " missing");
  } else if (expected > given_out + 1) {
    findings.Add(kSequenceCheck, "",
                 EventsAre(given_out + 1, expected - 1) + " there although the counter stands at " +
                     std::to_string(given_out));
  }
}

void CheckEvents(SQLite::Database& database, Findings& findings) {
  EventCheck check(database, findings);
  OneTime query(database,
                "SELECT sequence, job_id, generation, event, state FROM events "
                "INDEXED BY events_by_job ORDER BY job_id, sequence");
  std::vector<StoredEvent> of_one_job;
  while (query->Step()) {
    StoredEvent event = ReadStoredEvent(*query);
    findings.Count("events");
    if (!of_one_job.empty() && of_one_job.front().job_id != event.job_id) {
      check.CheckOne(of_one_job);
      of_one_job.clear();
    }
    of_one_job.push_back(std::move(event));
  }
  if (!of_one_job.empty()) check.CheckOne(of_one_job);
  check.Finish();
}

}  // namespace millrace::broker
