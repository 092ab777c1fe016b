#include <algorithm>
#include <map>
#include <set>
#include <string>

#include "tests/chaos/evidence.h"

namespace millrace::chaos {
namespace {

using nlohmann::json;

constexpr int kSigkill = 9;

// Returns the signal that ended the encoder of a failed attempt; 0: it exited by itself.
int SignalOf(const json& attempt) { return attempt.at("failure").at("usage").value("signal", 0); }

class Checker {
 public:
  Checker(const Evidence& evidence, const Reference& reference)
      : evidence_(evidence), reference_(reference) {}

  std::vector<Violation> Run() {
    for (const JobEvidence& one : evidence_.jobs) {
      if (one.job.is_null()) {
        Blame("no acknowledged job is lost", one, "the service does not know it");
        continue;
      }
      CheckEnd(one);
      CheckAttempts(one);
      CheckEvents(one);
      if (State(one) == "succeeded") CheckOutputs(one);
      if (State(one) == "dead") CheckDeadLetter(one);
    }
    CheckSequence();
    CheckListed();
    CheckKills();
    CheckSurroundings();
    return std::move(violations_);
  }

 private:
  static std::string State(const JobEvidence& one) { return one.job.at("state"); }

  void Blame(const char* rule, const JobEvidence& one, const std::string& detail) {
    violations_.push_back({rule, one.record.id, detail});
  }

  void CheckEnd(const JobEvidence& one) {
    const std::string state = State(one);
    if (state != "succeeded" && state != "dead" && state != "cancelled") {
      Blame("each job ends", one, state);
      return;
    }
    if (one.record.cancel_acknowledged && state != "cancelled") {
      Blame("what was cancelled ends cancelled", one, state);
    }
    if (state == "cancelled" && !one.record.cancel_asked) {
      Blame("nothing is cancelled unasked", one, state);
    }
    if (state == "succeeded" && !one.record.kind->is_good()) {
      Blame("bad media is no success", one, one.record.kind->name);
    }
    if (state == "dead") CheckReason(one);
    CheckPercent(one, state == "succeeded");
  }

  void CheckPercent(const JobEvidence& one, bool succeeded) {
    const int percent = one.job.at("progress").at("percent");
    const auto seen = one.record.percents.find(one.job.at("generation").get<int>());
    if (seen != one.record.percents.end() && percent < seen->second) {
      Blame("percent never falls", one,
            std::to_string(seen->second) + " was seen, it ended at " + std::to_string(percent));
    }
    if ((percent == 100) != succeeded) {
      Blame("100 percent means that the outputs are there", one, std::to_string(percent));
    }
  }

  // The faults are over, and their victims have been redriven.
  void CheckReason(const JobEvidence& one) {
    const std::string code = one.job.at("error").at("code");
    const std::vector<std::string>& codes = one.record.kind->codes;
    if (std::ranges::find(codes, code) != codes.end()) return;
    if (!one.record.kind->is_good() && ExcuseFor(one.job, one.attempts)) return;
    Blame("good media succeeds and bad media says why", one,
          one.record.kind->name + ": " + one.job.at("error").dump());
  }

  void CheckAttempts(const JobEvidence& one) {
    int64_t last_fence = 0;
    std::map<std::string, size_t> successes;  // by task of the last generation
    for (const json& attempt : one.attempts) {
      const int64_t fence = attempt.at("fence");
      if (fence <= last_fence) Blame("fences only grow", one, one.attempts.dump());
      last_fence = fence;
      if (!fences_.insert(fence).second) {
        Blame("a fence is given out once", one, std::to_string(fence));
      }
      if (attempt.at("outcome") == "running") {
        Blame("no attempt runs on when its job has ended", one, attempt.dump());
      }
      if (attempt.at("generation") != one.job.at("generation")) continue;
      successes[attempt.at("task")] += attempt.at("outcome") == "succeeded" ? 1 : 0;
    }
    const bool published = State(one) == "succeeded";
    for (const auto& [task, count] : successes) {
      // In a job that failed, a task may have finished before another failed.
      if (count == 1 || (count == 0 && !published)) continue;
      Blame("a task is done by exactly one attempt", one,
            State(one) + " with " + std::to_string(count) + " attempts of " + task +
                " that succeeded");
    }
    if (published && successes.empty()) Blame("each job that succeeded was run", one, "never");
  }

  void CheckEvents(const JobEvidence& one) {
    if (one.events.empty()) {
      Blame("each job has its events", one, "none");
      return;
    }
    int64_t last = 0;
    std::map<int, int> ends;
    for (const json& event : one.events) {
      const int64_t sequence = event.at("seq");
      if (sequence <= last) Blame("events come in order, once each", one, one.events.dump());
      last = sequence;
      if (!sequences_.insert(sequence).second) {
        Blame("no two events have one number", one, std::to_string(sequence));
      }
      const std::string state = event.at("state");
      const bool is_end = state == "succeeded" || state == "dead" || state == "cancelled";
      if (is_end && ++ends[event.at("generation").get<int>()] > 1) {
        Blame("a job ends once in each generation", one, one.events.dump());
      }
    }
    for (size_t i = 0; i < one.record.followed.size(); ++i) {
      if (i < one.events.size() && one.events[i].at("seq") == one.record.followed[i]) continue;
      Blame("a stream of events misses and repeats none", one, json(one.record.followed).dump());
      break;
    }
    if (one.events.front().at("event") != "submit" ||
        one.events.back().at("state") != one.job.at("state")) {
      Blame("events tell the life of a job from its beginning to its state", one,
            one.events.dump());
    }
  }

  void CheckOutputs(const JobEvidence& one) {
    const auto expected = reference_.outputs.find(one.record.kind->name);
    if (expected == reference_.outputs.end()) return;  // bad media: already reported
    std::set<std::string> paths;
    for (const FetchedFile& file : one.files) {
      paths.insert(file.path);
      if (file.sha256.empty() || file.sha256 != file.claimed_sha256) {
        Blame("outputs are what the job says", one, file.path + " is " + file.sha256);
        continue;
      }
      if (!file.decodes) Blame("outputs decode", one, file.path);
      const auto quiet = expected->second.find(file.path);
      if (quiet == expected->second.end() || quiet->second != file.sha256) {
        Blame("outputs are those of a quiet run", one, file.path + " is " + file.sha256);
      }
    }
    for (const auto& [path, sha256] : expected->second) {
      if (!paths.contains(path)) Blame("all outputs are there", one, path + " is not");
    }
  }

  void CheckDeadLetter(const JobEvidence& one) {
    if (one.dead_letter.is_null()) {
      Blame("a dead job has its letter", one, "none");
      return;
    }
    const json& report = one.dead_letter.at("report");
    if (!report.is_object() || report.at("job") != one.record.id ||
        report.at("error").at("code") != one.job.at("error").at("code") ||
        report.at("generation") != one.job.at("generation")) {
      Blame("the report is of this death", one, report.dump());
      return;
    }
    std::set<std::string> names;
    for (const json& file : one.dead_letter.at("files")) {
      names.insert(file.at("name").get<std::string>());
    }
    for (const char* needed : {"report.json", "task.json", "repro.sh", "input"}) {
      if (!names.contains(needed)) Blame("a dead letter is complete", one, needed);
    }
    const std::set<std::string> promised = report.at("files");
    if (promised != names) {
      Blame("a dead letter is complete", one,
            json(names).dump() + " are not " + report.at("files").dump());
    }
    CheckAttemptsOfReport(one, report, names);
    if (one.dead_input_sha256 != one.record.input_sha256) {
      Blame("a dead letter keeps the input", one, one.dead_input_sha256);
    }
  }

  // Checks that the report has every attempt of this generation, and the log of each that ran.
  void CheckAttemptsOfReport(const JobEvidence& one, const json& report,
                             const std::set<std::string>& names) {
    std::set<int64_t> fences;
    std::set<int64_t> reported;
    for (const json& attempt : one.attempts) {
      if (attempt.at("generation") != one.job.at("generation")) continue;
      const int64_t fence = attempt.at("fence");
      fences.insert(fence);
      if (attempt.at("outcome") != "failed") continue;
      const json& usage = attempt.at("failure").at("usage");
      const std::string log = "log-" + std::to_string(fence) + ".txt";
      if ((usage.contains("exit_status") || usage.contains("signal")) && !names.contains(log)) {
        Blame("a dead letter is complete", one, log);
      }
    }
    for (const json& attempt : report.at("attempts"))
      reported.insert(attempt.at("fence").get<int64_t>());
    if (reported != fences) {
      Blame("the report has every attempt", one, report.at("attempts").dump());
    }
  }

  // Checks the event numbers of all jobs; jobs that were not acknowledged have events too.
  void CheckSequence() {
    for (const json& event : evidence_.other_events)
      sequences_.insert(event.at("seq").get<int64_t>());
    if (sequences_.empty()) return;
    const auto count = static_cast<int64_t>(sequences_.size());
    if (*sequences_.begin() == 1 && *sequences_.rbegin() == count) return;
    std::string missing;
    int64_t next = 1;
    for (const int64_t sequence : sequences_) {
      for (; next < sequence && missing.size() < 200; ++next) missing += std::to_string(next) + " ";
      next = sequence + 1;
    }
    violations_.push_back({"events have no gap", "", "not there: " + missing});
  }

  void CheckListed() {
    std::map<std::string, std::set<std::string>> by_key;
    for (const json& job : evidence_.listed) {
      by_key[job.at("external_id").get<std::string>()].insert(job.at("id").get<std::string>());
    }
    for (const auto& [key, ids] : by_key) {
      if (ids.size() > 1) {
        violations_.push_back({"one key is one job", *ids.begin(), key + " has several"});
      }
    }
    for (const JobEvidence& one : evidence_.jobs) {
      if (!by_key[one.record.key].contains(one.record.id)) {
        Blame("each acknowledged job is listed", one, one.record.key);
      }
    }
  }

  void CheckKills() {
    size_t killed = 0;
    for (const JobEvidence& one : evidence_.jobs) {
      for (const json& attempt : one.attempts) {
        if (attempt.at("outcome") != "failed") continue;
        if (attempt.at("failure").at("error").at("code") == "stalled") continue;  // by its worker
        if (SignalOf(attempt) == kSigkill) {
          ++killed;
        } else if (SignalOf(attempt) != 0) {
          Blame("no encoder crashes by itself", one, attempt.at("failure").at("error").dump());
        }
      }
    }
    if (killed > evidence_.encoders_killed) {
      violations_.push_back({"an encoder's death is told once", "",
                             std::to_string(killed) + " deaths of " +
                                 std::to_string(evidence_.encoders_killed) + " that were killed"});
    }
  }

  void CheckSurroundings() {
    for (const std::string& leftover : evidence_.leftovers) {
      violations_.push_back({"nothing is left behind", "", leftover});
    }
    for (const std::string& accident : evidence_.accidents) {
      violations_.push_back({"no program of the service crashes", "", accident});
    }
    if (!evidence_.verify.empty()) {
      violations_.push_back({"millrace verify finds nothing", "", evidence_.verify});
    }
  }

  const Evidence& evidence_;
  const Reference& reference_;
  std::set<int64_t> fences_;
  std::set<int64_t> sequences_;
  std::vector<Violation> violations_;
};

}  // namespace

std::vector<Violation> Check(const Evidence& evidence, const Reference& reference) {
  return Checker(evidence, reference).Run();
}

namespace {

// The failures of the attempts of one task.
struct TaskFailures {
  int crashes = 0;
  int failures = 0;
  std::set<std::string> crashed_on;  // workers
};

}  // namespace

std::optional<std::string> ExcuseFor(const json& job, const json& attempts) {
  std::map<std::string, TaskFailures> tasks;
  for (const json& attempt : attempts) {
    if (attempt.at("generation") != job.at("generation") || attempt.at("outcome") != "failed") {
      continue;
    }
    TaskFailures& task = tasks[attempt.at("task")];
    ++task.failures;
    if (SignalOf(attempt) == 0) continue;
    ++task.crashes;
    task.crashed_on.insert(attempt.at("worker").get<std::string>());
  }
  for (const auto& [id, task] : tasks) {
    if (task.crashed_on.size() >= 2 || task.crashes >= 3) {
      return "an encoder of its was killed " + std::to_string(task.crashes) + " times";
    }
    if (task.failures >= job.at("max_attempts").get<int>()) {
      return "storage failed it " + std::to_string(task.failures) + " times";
    }
  }
  return std::nullopt;
}

}  // namespace millrace::chaos
