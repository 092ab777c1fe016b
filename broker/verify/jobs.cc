#include "broker/verify/jobs.h"

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "broker/ledger/sqlite/sqlite_rows.h"

namespace millrace::broker {
namespace {

constexpr const char* kCheck = "jobs";

std::string Of(Fence fence) { return "fence " + std::to_string(fence); }

bool HasEnded(TaskState state) {
  return state == TaskState::kDone || state == TaskState::kFailed || state == TaskState::kCancelled;
}

// Returns true if a job in state `job` may have tasks in these states.
bool Fits(JobState job, const std::vector<TaskState>& tasks) {
  if (const std::optional<JobState> made = JobStateOf(tasks)) {
    return *made == job || (*made == JobState::kPublishing && job == JobState::kSucceeded);
  }
  // Until its dead letter is complete, a job keeps the state in which the task failed.
  if (job == JobState::kDead) return std::ranges::all_of(tasks, HasEnded);
  return !IsTerminal(job) && job != JobState::kCancelling;
}

// All rows of one job.
struct JobRows {
  Job job;
  std::string external_id_column;
  std::string upload_column;
  std::vector<TaskRecord> tasks;  // of all generations
  std::vector<Attempt> attempts;  // by fence
  std::vector<DeadLetterRecord> letters;
};

// Checks one job, one aspect per method.
class JobCheck {
 public:
  JobCheck(const JobRows& rows, Findings& findings) : rows_(rows), findings_(findings) {}

  void Run() {
    CheckColumns();
    CheckEnd();
    CheckPublished();
    CheckLetters();
    CheckStates();
    CheckPlan();
    for (const TaskRecord& task : rows_.tasks) CheckTask(task);
  }

 private:
  void Report(const std::string& detail) { findings_.Add(kCheck, rows_.job.id, detail); }

  std::string State() const { return std::string(NameOf(rows_.job.state)); }

  // Checks the columns that repeat a value for the sake of an index.
  void CheckColumns() {
    const JobRequest& request = rows_.job.request;
    if (request.external_id != rows_.external_id_column)
      Report("its external_id stands there twice and differs");
    if (request.input.upload != rows_.upload_column)
      Report("its upload stands there twice and differs");
  }

  void CheckEnd() {
    const Job& job = rows_.job;
    if (IsTerminal(job.state) != job.finished_at.has_value()) {
      Report("is " + State() + (job.finished_at ? ", but has an end" : ", but has no end"));
    }
    if (job.state == JobState::kDead && job.error.is_null()) Report("is dead without an error");
  }

  void CheckPublished() {
    const Job& job = rows_.job;
    if (job.state != JobState::kSucceeded) {
      if (job.published_fence != 0)
        Report("is " + State() + ", but " + Of(job.published_fence) + " is published");
      return;
    }
    const auto attempt = std::ranges::find(rows_.attempts, job.published_fence, &Attempt::fence);
    if (attempt == rows_.attempts.end()) {
      Report("published " + Of(job.published_fence) + ", which none of its attempts has");
    } else if (attempt->outcome != "succeeded" || attempt->generation != job.generation) {
      Report("published " + Of(job.published_fence) + ", an attempt of generation " +
             std::to_string(attempt->generation) + " that ended as " + attempt->outcome);
    }
    for (const Attempt& other : rows_.attempts) {
      if (other.outcome == "succeeded" && other.fence > job.published_fence)
        Report("published " + Of(job.published_fence) + ", but " + Of(other.fence) +
               " succeeded after it");
    }
  }

  void CheckLetters() {
    using State = DeadLetterRecord::State;
    const Job& job = rows_.job;
    bool has_letter = false;
    for (const DeadLetterRecord& letter : rows_.letters) {
      const std::string name = "its dead letter of generation " + std::to_string(letter.generation);
      const bool is_current = job.state == JobState::kDead && letter.generation == job.generation;
      has_letter = has_letter || is_current;
      if (is_current && letter.state == State::kRedriven)
        Report(name + " says that it was redriven");
      if (!is_current && letter.state == State::kOpen)
        Report(name + " is open, but the job is " + this->State() + " in generation " +
               std::to_string(job.generation));
      if ((letter.state == State::kOpen) == letter.closed_at.has_value())
        Report(name + " is " + std::string(NameOf(letter.state)) +
               (letter.closed_at ? ", but was closed" : ", but was never closed"));
      if (is_current && job.error.is_object() && job.error.value("code", "") != letter.code)
        Report(name + " names another error than the job");
    }
    if (job.state == JobState::kDead && !has_letter) Report("is dead, but has no dead letter");
  }

  // The tasks of an earlier plan stay with their attempts.
  bool IsCurrent(const TaskRecord& task) const { return task.generation == rows_.job.generation; }

  // Checks the tasks of the present plan against the state of their job.
  void CheckStates() {
    std::vector<TaskState> states;
    std::string said;
    for (const TaskRecord& task : rows_.tasks) {
      if (!IsCurrent(task)) continue;
      states.push_back(task.state);
      said += (said.empty() ? ", but task " : " and task ") + task.id + " is " +
              std::string(NameOf(task.state));
    }
    if (states.empty()) {
      Report("has no task");
    } else if (!Fits(rows_.job.state, states)) {
      Report("is " + State() + said);
    }
  }

  // Checks that each output of the job is made by exactly one task.
  void CheckPlan() {
    std::map<std::string, int> makers;
    for (const TaskRecord& task : rows_.tasks) {
      if (!IsCurrent(task)) continue;
      const EncodeSpec& spec = task.spec ? *task.spec : rows_.job.request.spec;
      for (const OutputSpec& output : spec.outputs) ++makers[output.name];
      for (const std::string& id : task.dependencies) {
        if (std::ranges::find(rows_.tasks, id, &TaskRecord::id) == rows_.tasks.end())
          Report("task " + task.id + " depends on " + id + ", which is none of the job's");
      }
    }
    if (makers.empty()) return;
    for (const OutputSpec& output : rows_.job.request.spec.outputs) {
      const int tasks = std::exchange(makers[output.name], 1);
      if (tasks != 1)
        Report("its output " + output.name + " is made by " + std::to_string(tasks) + " tasks");
    }
    if (makers.size() > rows_.job.request.spec.outputs.size())
      Report("its tasks make outputs that it does not ask for");
  }

  void CheckGeneration(const TaskRecord& task) {
    if (task.generation > rows_.job.generation) {
      Report("task " + task.id + " is of a generation to come, " + std::to_string(task.generation));
    } else if (!IsCurrent(task) && !HasEnded(task.state)) {
      Report("task " + task.id + " of generation " + std::to_string(task.generation) + " is " +
             std::string(NameOf(task.state)));
    }
  }

  void CheckTask(const TaskRecord& task) {
    CheckGeneration(task);
    const bool is_leased = task.state == TaskState::kLeased || task.state == TaskState::kCancelling;
    bool has_current = task.fence == 0;
    std::map<int, int> successes;  // by generation
    for (const Attempt& attempt : rows_.attempts) {
      if (attempt.task_id != task.id) continue;
      has_current = has_current || attempt.fence == task.fence;
      CheckAttempt(attempt, task, is_leased && attempt.fence == task.fence);
      if (attempt.outcome == "succeeded" && ++successes[attempt.generation] == 2) {
        Report("two attempts of task " + task.id + " succeeded in generation " +
               std::to_string(attempt.generation));
      }
    }
    if (!has_current)
      Report("task " + task.id + " has " + Of(task.fence) + ", but no attempt has it");
  }

  void CheckAttempt(const Attempt& attempt, const TaskRecord& task, bool must_run) {
    const std::string name = "the attempt of " + Of(attempt.fence);
    if (attempt.fence > task.fence) Report(name + " is newer than its task, " + Of(task.fence));
    if (attempt.generation > rows_.job.generation)
      Report(name + " is of a generation to come, " + std::to_string(attempt.generation));
    const bool runs = attempt.outcome == "running";
    if (runs != must_run)
      Report(name +
             (runs ? " runs without a lease" : " is leased, but has ended as " + attempt.outcome));
    if (runs == attempt.finished_at.has_value())
      Report(name + (runs ? " runs, but has an end" : " has ended without an end"));
  }

  const JobRows& rows_;
  Findings& findings_;
};

// Reads all jobs with their rows, one after the other.
class JobScan {
 public:
  explicit JobScan(SQLite::Database& database)
      : jobs_(database, std::string("SELECT ") + kJobColumns + ", upload FROM jobs ORDER BY id"),
        tasks_(database,
               std::string("SELECT ") + kTaskColumns + " FROM tasks WHERE job_id = ? ORDER BY id"),
        attempts_(database, std::string("SELECT ") + kAttemptColumns +
                                " FROM tasks JOIN attempts ON attempts.task_id = tasks.id "
                                "WHERE tasks.job_id = ? ORDER BY attempts.fence"),
        letters_(database, std::string("SELECT ") + kDeadLetterColumns +
                               " FROM dead_letters WHERE job_id = ? ORDER BY generation") {}

  // Returns false after the last job.
  bool Step() { return jobs_->Step(); }
  std::string Id() { return jobs_->statement().getColumn("id").getString(); }
  // Throws nlohmann::json::exception or Error for a malformed row.
  JobRows Read() {
    JobRows rows;
    rows.job = ReadJob(*jobs_);
    rows.external_id_column = jobs_->statement().getColumn("external_id").getString();
    rows.upload_column = jobs_->statement().getColumn("upload").getString();
    rows.tasks = ReadRows(tasks_->Restart().Text(rows.job.id), ReadTask);
    rows.attempts = ReadRows(attempts_->Restart().Text(rows.job.id), ReadAttempt);
    rows.letters = ReadRows(letters_->Restart().Text(rows.job.id), ReadDeadLetter);
    return rows;
  }

 private:
  OneTime jobs_;
  OneTime tasks_;
  OneTime attempts_;
  OneTime letters_;
};

}  // namespace

void CheckJobs(SQLite::Database& database, Findings& findings) {
  JobScan scan(database);
  while (scan.Step()) {
    findings.Count("jobs");
    try {
      const JobRows rows = scan.Read();
      findings.Count("attempts", static_cast<int64_t>(rows.attempts.size()));
      JobCheck(rows, findings).Run();
    } catch (const nlohmann::json::exception& error) {
      findings.Add(kCheck, scan.Id(), std::string("cannot be read: ") + error.what());
    } catch (const Error& error) {
      findings.Add(kCheck, scan.Id(), std::string("cannot be read: ") + error.what());
    }
  }
}

void CheckFences(SQLite::Database& database, Findings& findings) {
  const auto value = [&](const std::string& sql) { return database.execAndGet(sql).getInt64(); };
  const int64_t given_out = value("SELECT value FROM counters WHERE name = 'fence'");
  for (const auto& [what, sql] : std::to_array<std::pair<const char*, const char*>>({
           {"an attempt", "SELECT coalesce(max(fence), 0) FROM attempts"},
           {"a task", "SELECT coalesce(max(fence), 0) FROM tasks"},
       })) {
    const int64_t highest = value(sql);
    if (highest <= given_out) continue;
    findings.Add("fences", "",
                 std::string(what) + " has " + Of(highest) + ", but the counter stands at " +
                     std::to_string(given_out));
  }
}

}  // namespace millrace::broker
