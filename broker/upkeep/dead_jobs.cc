#include "broker/upkeep/dead_jobs.h"

#include <utility>

#include "core/base/fields.h"

namespace millrace::broker {
namespace {

constexpr int kMaxPageSize = 500;
constexpr int kDefaultPageSize = 50;
constexpr size_t kMaxTokenBytes = 512;

// Reads a text; an empty one matches any.
std::string Text(Fields& fields, std::string_view key, size_t most = 256) {
  const nlohmann::json* value = fields.Raw(key);
  if (value == nullptr || (value->is_string() && *value == "")) return "";
  return fields.String(key, most).value_or("");
}

std::optional<WallTime> Time(Fields& fields, std::string_view key) {
  const std::string text = Text(fields, key);
  if (text.empty()) return std::nullopt;
  try {
    return ParseTime(text);
  } catch (const Error& error) {
    fields.Fail(key, error.what());
    return std::nullopt;
  }
}

// Reads the state: "open" by default, empty for any.
std::string State(Fields& fields) {
  const std::string name = Text(fields, "state");
  if (name.empty()) return "open";
  if (name == "any") return "";
  if (!DeadLetterStateFromName(name)) {
    fields.Fail("state", "'" + name + "' is not one of: any, open, redriven, purged, expired");
  }
  return name;
}

}  // namespace

DeadLetterFilter ParseDeadLetterFilter(const nlohmann::json& json) {
  std::vector<FieldError> errors;
  Fields fields(json, "", errors);
  DeadLetterFilter filter;
  filter.state = State(fields);
  filter.code = Text(fields, "code");
  filter.blame = Text(fields, "blame");
  filter.signature = Text(fields, "signature");
  filter.stage = Text(fields, "stage");
  filter.worker = Text(fields, "worker");
  filter.died_after = Time(fields, "died_after");
  filter.died_before = Time(fields, "died_before");
  filter.page_size =
      static_cast<int>(fields.Integer("page_size", 1, kMaxPageSize).value_or(kDefaultPageSize));
  filter.page_token = Text(fields, "page_token", kMaxTokenBytes);
  if (!errors.empty()) throw Error(std::move(errors));
  return filter;
}

std::optional<DeadJob> ReadDeadJob(Ledger& ledger, const std::string& job_id) {
  std::optional<DeadLetterRecord> letter = ledger.FindDeadLetter(job_id);
  if (!letter) return std::nullopt;
  std::optional<Job> job = ledger.FindJob(job_id);
  if (!job) return std::nullopt;
  const int last_attempt = ledger.LastAttemptNumber(job_id, job->generation);
  return DeadJob{.job = std::move(*job),
                 .tasks = ledger.TasksOf(job_id),
                 .letter = std::move(*letter),
                 .last_attempt = last_attempt};
}

std::vector<DeadJob> ReadDeadJobs(Ledger& ledger, const std::vector<std::string>& job_ids) {
  std::vector<DeadJob> jobs;
  for (const std::string& id : job_ids) {
    if (std::optional<DeadJob> dead = ReadDeadJob(ledger, id)) jobs.push_back(std::move(*dead));
  }
  return jobs;
}

std::vector<DeadJob> ReadOpenDeadJobs(Ledger& ledger, const nlohmann::json& filter) {
  std::vector<std::string> job_ids;
  for (DeadLetterRecord& letter :
       ledger.OpenLettersOldestFirst(ParseDeadLetterFilter(filter), kMaxLettersAtOnce)) {
    job_ids.push_back(std::move(letter.job_id));
  }
  return ReadDeadJobs(ledger, job_ids);
}

}  // namespace millrace::broker
