#include "broker/job_reader.h"

#include <algorithm>

#include "broker/upkeep/dead_jobs.h"
#include "core/base/fields.h"
#include "core/base/json_text.h"
#include "core/base/settings.h"

namespace millrace::broker {
namespace {

constexpr int kMaxPageSize = 500;
constexpr int kDefaultPageSize = 50;
constexpr size_t kMaxTokenBytes = 512;
constexpr size_t kMaxGroups = 500;
constexpr size_t kMaxEvents = 500;

std::vector<JobState> ParseStates(const nlohmann::json& json, Fields& fields) {
  std::vector<JobState> states;
  if (!json.is_array()) {
    fields.Fail("states", "must be a list of states");
    return states;
  }
  for (const nlohmann::json& item : json) {
    const auto state =
        item.is_string() ? JobStateFromName(item.get_ref<const std::string&>()) : std::nullopt;
    if (state) {
      states.push_back(*state);
    } else {
      fields.Fail("states", item.dump() + " is not the state of a job");
    }
  }
  return states;
}

std::optional<WallTime> ParseTimeField(Fields& fields, std::string_view key) {
  const std::optional<std::string> text = fields.String(key);
  if (!text) return std::nullopt;
  try {
    return ParseTime(*text);
  } catch (const Error& error) {
    fields.Fail(key, error.what());
    return std::nullopt;
  }
}

}  // namespace

JobFilter ParseJobFilter(const nlohmann::json& body) {
  std::vector<FieldError> errors;
  Fields fields(body, "", errors);
  JobFilter filter;
  if (const auto* states = fields.Raw("states")) filter.states = ParseStates(*states, fields);
  if (const auto* labels = fields.Raw("labels")) {
    if (!labels->is_object()) fields.Fail("labels", "must be an object");
    for (const auto& [name, value] : labels->items()) {
      if (value.is_string()) {
        filter.labels.emplace_back(name, value.get<std::string>());
      } else {
        fields.Fail("labels", "the value of '" + name + "' must be a string");
      }
    }
  }
  if (const auto* id = fields.Raw("external_id");
      id != nullptr && !(id->is_string() && *id == "")) {
    filter.external_id = fields.String("external_id").value_or("");
  }
  filter.created_after = ParseTimeField(fields, "created_after");
  filter.created_before = ParseTimeField(fields, "created_before");
  constexpr auto kOrders =
      std::to_array<std::pair<std::string_view, bool>>({{"desc", true}, {"asc", false}});
  filter.newest_first = fields.OneOf("order", kOrders).value_or(true);
  filter.page_size =
      static_cast<int>(fields.Integer("page_size", 1, kMaxPageSize).value_or(kDefaultPageSize));
  if (const auto* token = fields.Raw("page_token");
      token != nullptr && !(token->is_string() && *token == "")) {
    filter.page_token = fields.String("page_token", kMaxTokenBytes).value_or("");
  }
  if (!errors.empty()) throw Error(std::move(errors));
  return filter;
}

Message JobReader::Answer(const Message& request, Now now) const {
  return {.type = std::string(message::kOk), .id = request.id, .body = BodyFor(request, now)};
}

nlohmann::json JobReader::BodyFor(const Message& request, Now now) const {
  const std::string_view type = request.type;
  const nlohmann::json& body = request.body;
  const auto job_id = [&] { return body.at("job_id").get<std::string>(); };
  if (type == message::kGetJob) return ReadJob(job_id());
  if (type == message::kSubmit) return RepeatSubmit(body);
  if (type == message::kCancel) RefuseCancel(job_id());
  if (type == message::kListJobs) return ListJobs(body);
  if (type == message::kAttempts) return Attempts(job_id());
  if (type == message::kEvents) return Events(body);
  if (type == message::kQueue) return Queue(now);
  if (type == message::kWorkers) return dispatcher_.WorkersView(now);
  if (type == message::kDeadLetters) return ListDeadLetters(body);
  if (type == message::kDeadLetterGroups) return GroupDeadLetters(body);
  if (type == message::kGetDeadLetter) return ReadDeadLetter(job_id());
  if (type == message::kGetRedrive) return {{"redrive", ReadRedrive(body.at("redrive_id"))}};
  if (type == message::kRedriveMany) return RedriveMany(body);
  if (type == message::kPurgeMany) return PurgeMany(body);
  return Ping();
}

nlohmann::json JobReader::RepeatSubmit(const nlohmann::json& body) const {
  const std::string key = body.value("idempotency_key", "");
  if (!key.empty()) {
    if (const std::optional<Job> job = ledger_.FindJobByKey(key)) {
      if (job->request_fingerprint != body.value("fingerprint", "")) {
        throw Error(ErrorCode::kIdempotencyConflict,
                    "the key was used for another request, which made job " + job->id,
                    {{"job", job->id}});
      }
      return {{"job", ReadJob(job->id)["job"]}};
    }
  }
  return {{"job", ReadJob(body.at("job_id").get<std::string>())["job"]}};
}

nlohmann::json JobReader::Queue(Now now) const {
  nlohmann::json view = dispatcher_.QueueView(now);
  view["dead_letters"] = ledger_.CountDeadLetters({});
  view["janitor"] = facts_.janitor;
  return view;
}

nlohmann::json JobReader::ListDeadLetters(const nlohmann::json& body) const {
  DeadLetterFilter filter = ParseDeadLetterFilter(body);
  // As for jobs: a page that would not fit into a message is made shorter.
  for (;; filter.page_size /= 2) {
    const DeadLetterPage page = ledger_.ListDeadLetters(filter);
    nlohmann::json letters = nlohmann::json::array();
    size_t bytes = 0;
    for (const DeadLetterRecord& letter : page.letters) {
      letters.push_back(ToJson(letter));
      bytes += ToText(letters.back()).size();
    }
    if (bytes <= kMaxBodyBytes / 2 || filter.page_size == 1) {
      return {{"dead_letters", std::move(letters)}, {"next_page_token", page.next_page_token}};
    }
  }
}

nlohmann::json JobReader::GroupDeadLetters(const nlohmann::json& body) const {
  nlohmann::json groups = nlohmann::json::array();
  for (const DeadLetterGroup& group :
       ledger_.DeadLetterGroups(ParseDeadLetterFilter(body), kMaxGroups)) {
    groups.push_back(ToJson(group));
  }
  return {{"groups", std::move(groups)}};
}

nlohmann::json JobReader::ReadDeadLetter(const std::string& job_id) const {
  const std::optional<DeadLetterRecord> letter = ledger_.FindDeadLetter(job_id);
  if (!letter) {
    throw Error(ErrorCode::kDeadLetterNotFound, "job " + job_id + " has no dead letter");
  }
  return {{"dead_letter", ToJson(*letter)}};
}

nlohmann::json JobReader::ReadRedrive(const std::string& redrive_id) const {
  const std::optional<RedriveRecord> redrive = ledger_.FindRedrive(redrive_id);
  if (!redrive) throw Error(ErrorCode::kRedriveNotFound, "there is no redrive " + redrive_id);
  return ToJson(*redrive);
}

nlohmann::json JobReader::RedriveMany(const nlohmann::json& body) const {
  const std::optional<RedriveRecord> redrive =
      ledger_.FindRedrive(body.at("redrive_id").get<std::string>());
  if (!redrive) return {{"count", CountOpen(body)}, {"redrive", nullptr}};
  return {{"count", redrive->count}, {"redrive", ToJson(*redrive)}};
}

nlohmann::json JobReader::PurgeMany(const nlohmann::json& body) const {
  if (!body.at("dry_run").get<bool>()) {
    const auto purge = ledger_.FindPurge(body.at("purge_id").get<std::string>());
    if (purge) return {{"count", purge->count}};
  }
  return {{"count", CountOpen(body)}};
}

int64_t JobReader::CountOpen(const nlohmann::json& body) const {
  DeadLetterFilter filter = ParseDeadLetterFilter(body.at("filter"));
  filter.state = NameOf(DeadLetterRecord::State::kOpen);
  return std::min(ledger_.CountDeadLetters(filter), static_cast<int64_t>(kMaxLettersAtOnce));
}

Job JobReader::FindEnded(const std::string& job_id) const {
  std::optional<Job> job = ledger_.FindJob(job_id);
  if (!job) throw Error(ErrorCode::kJobNotFound, "there is no job " + job_id);
  return std::move(*job);
}

nlohmann::json JobReader::ViewOf(const Job& job) const {
  if (const Job* live = dispatcher_.Find(job.id)) return JobView(*live, dispatcher_.Live(job.id));
  LiveJob ended;
  ended.attempt = ledger_.LastAttemptNumber(job.id, job.generation);
  return JobView(job, ended);
}

nlohmann::json JobReader::ReadJob(const std::string& job_id) const {
  const Job* live = dispatcher_.Find(job_id);
  const Job job = live != nullptr ? *live : FindEnded(job_id);
  return {{"job", ViewOf(job)}, {"published_fence", job.published_fence}};
}

nlohmann::json JobReader::ListJobs(const nlohmann::json& body) const {
  JobFilter filter = ParseJobFilter(body);
  // Jobs differ in size by a factor of a thousand. A page that would not fit into a message is
  // made shorter; its token leads on from there.
  for (;; filter.page_size /= 2) {
    const JobPage page = ledger_.ListJobs(filter);
    nlohmann::json jobs = nlohmann::json::array();
    size_t bytes = 0;
    for (const Job& job : page.jobs) {
      jobs.push_back(ViewOf(job));
      bytes += ToText(jobs.back()).size();
    }
    if (bytes <= kMaxBodyBytes / 2 || filter.page_size == 1) {
      return {{"jobs", std::move(jobs)}, {"next_page_token", page.next_page_token}};
    }
  }
}

nlohmann::json JobReader::Attempts(const std::string& job_id) const {
  if (dispatcher_.Find(job_id) == nullptr) FindEnded(job_id);
  nlohmann::json attempts = nlohmann::json::array();
  for (const Attempt& attempt : ledger_.AttemptsOf(job_id)) attempts.push_back(ToJson(attempt));
  return {{"attempts", std::move(attempts)}};
}

nlohmann::json JobReader::Events(const nlohmann::json& body) const {
  const auto& job_id = body.at("job_id").get_ref<const std::string&>();
  const auto limit = body.at("limit").get<size_t>();
  if (limit < 1 || limit > kMaxEvents) {
    throw Error({{"/limit", "must be a whole number from 1 to " + std::to_string(kMaxEvents)}});
  }
  const Job* live = dispatcher_.Find(job_id);
  const JobState state = live != nullptr ? live->state : FindEnded(job_id).state;
  // One more than asked for tells whether these are the last.
  std::vector<EventRecord> events =
      ledger_.EventsOf(job_id, body.at("after").get<int64_t>(), limit + 1);
  const bool all = events.size() <= limit;
  if (!all) events.pop_back();
  nlohmann::json list = nlohmann::json::array();
  for (const EventRecord& event : events) list.push_back(ToJson(event));
  return {{"events", std::move(list)}, {"ended", all && IsTerminal(state)}};
}

nlohmann::json JobReader::Ping() const {
  return {{"version", kVersion},
          {"accepting", !facts_.refusal.has_value()},
          {"reason", facts_.refusal.value_or("")}};
}

void JobReader::RefuseCancel(const std::string& job_id) const {
  const Job job = FindEnded(job_id);
  throw Error(ErrorCode::kJobFinished,
              "job " + job_id + " has already ended: " + std::string(NameOf(job.state)),
              {{"state", NameOf(job.state)}});
}

}  // namespace millrace::broker
