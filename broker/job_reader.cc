#include "broker/job_reader.h"

#include <algorithm>
#include <iterator>
#include <string_view>
#include <vector>

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
constexpr int kMaxEvents = 500;

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

// Reads a page that fits into a message. Jobs differ in size by a factor of a thousand: a page that
// would not fit is made shorter, and its token leads on from there. `read` takes a filter and
// returns the page, `items_of` the JSON list in it.
template <typename Filter, typename Read, typename ItemsOf>
auto ReadPageThatFits(Filter filter, Read read, ItemsOf items_of) {
  for (;; filter.page_size /= 2) {
    auto page = read(filter);
    if (filter.page_size == 1 || ToText(items_of(page)).size() <= kMaxBodyBytes / 2) return page;
  }
}

// The replies that are views are passed on as they are.
nlohmann::json BodyOf(nlohmann::json view) { return view; }
template <message::Body T>
nlohmann::json BodyOf(const T& reply) {
  return message::ToJson(reply);
}

}  // namespace

JobFilter ParseJobFilter(const nlohmann::json& json) {
  std::vector<FieldError> errors;
  Fields fields(json, "", errors);
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

std::optional<EndedJob> ReadEndedJob(Ledger& ledger, const std::string& job_id) {
  std::optional<Job> job = ledger.FindJob(job_id);
  if (!job) return std::nullopt;
  const int last_attempt = ledger.LastAttemptNumber(job_id, job->generation);
  return EndedJob{.job = *std::move(job), .last_attempt = last_attempt};
}

template <typename Request>
nlohmann::json JobReader::BodyFor(nlohmann::json request) const {
  return BodyOf(Reply(message::Read<Request>(std::move(request))));
}

struct JobReader::Row {
  std::string_view type;
  nlohmann::json (JobReader::*body_for)(nlohmann::json request) const;
};

const JobReader::Row JobReader::kRows[] = {
    {message::kGetJob, &JobReader::BodyFor<message::GetJob>},
    {message::kCancel, &JobReader::BodyFor<message::Cancel>},
    {message::kListJobs, &JobReader::BodyFor<message::ListJobs>},
    {message::kAttempts, &JobReader::BodyFor<message::Attempts>},
    {message::kEvents, &JobReader::BodyFor<message::Events>},
    {message::kQueue, &JobReader::BodyFor<message::Queue>},
    {message::kWorkers, &JobReader::BodyFor<message::Workers>},
    {message::kDeadLetters, &JobReader::BodyFor<message::DeadLetters>},
    {message::kDeadLetterGroups, &JobReader::BodyFor<message::DeadLetterGroups>},
    {message::kGetDeadLetter, &JobReader::BodyFor<message::GetDeadLetter>},
    {message::kGetRedrive, &JobReader::BodyFor<message::GetRedrive>},
    {message::kRedriveMany, &JobReader::BodyFor<message::RedriveMany>},
    {message::kPurgeMany, &JobReader::BodyFor<message::PurgeMany>},
    {message::kPing, &JobReader::BodyFor<message::Ping>},
};

Message JobReader::Answer(Message request) const {
  const auto* row = std::ranges::find(kRows, request.type, &Row::type);
  if (row == std::end(kRows)) {
    throw Error(ErrorCode::kProtocolError, "there is no read of type '" + request.type + "'");
  }
  return {.type = std::string(message::kOk),
          .id = std::move(request.id),
          .body = (this->*row->body_for)(std::move(request.body))};
}

message::GetJobReply JobReader::Reply(const message::GetJob& request) const {
  const Job* live = dispatcher_.Find(request.job_id);
  const Job job = live != nullptr ? *live : FindEnded(request.job_id);
  return {.job = ViewOf(job), .published_fence = job.published_fence};
}

message::JobReply JobReader::Reply(const message::Cancel& request) const {
  const Job job = FindEnded(request.job_id);
  throw Error(ErrorCode::kJobFinished,
              "job " + job.id + " has already ended: " + std::string(NameOf(job.state)),
              {{"state", NameOf(job.state)}});
}

message::ListJobsReply JobReader::Reply(const message::ListJobs& request) const {
  return ReadPageThatFits(
      ParseJobFilter(request.filter),
      [this](const JobFilter& filter) {
        const JobPage page = ledger_.ListJobs(filter);
        message::ListJobsReply reply{.next_page_token = page.next_page_token};
        for (const Job& job : page.jobs) reply.jobs.push_back(ViewOf(job));
        return reply;
      },
      [](const message::ListJobsReply& reply) -> const nlohmann::json& { return reply.jobs; });
}

message::AttemptsReply JobReader::Reply(const message::Attempts& request) const {
  if (dispatcher_.Find(request.job_id) == nullptr) FindEnded(request.job_id);
  message::AttemptsReply reply;
  for (const Attempt& attempt : ledger_.AttemptsOf(request.job_id)) {
    reply.attempts.push_back(ToJson(attempt));
  }
  return reply;
}

message::EventsReply JobReader::Reply(const message::Events& request) const {
  if (request.limit < 1 || request.limit > kMaxEvents) {
    throw Error({{"/limit", "must be a whole number from 1 to " + std::to_string(kMaxEvents)}});
  }
  const Job* live = dispatcher_.Find(request.job_id);
  const JobState state = live != nullptr ? live->state : FindEnded(request.job_id).state;
  // Reads one more than asked for, to know whether there are more.
  const auto limit = static_cast<size_t>(request.limit);
  std::vector<EventRecord> events = ledger_.EventsOf(request.job_id, request.after, limit + 1);
  const bool all = events.size() <= limit;
  if (!all) events.pop_back();
  message::EventsReply reply{.ended = all && IsTerminal(state)};
  for (const EventRecord& event : events) reply.events.push_back(MessageOf(event));
  return reply;
}

nlohmann::json JobReader::Reply(const message::Queue&) const {
  nlohmann::json view = dispatcher_.QueueView(facts_.now);
  view["dead_letters"] = ledger_.CountDeadLetters({});
  view["janitor"] = facts_.janitor;
  return view;
}

nlohmann::json JobReader::Reply(const message::Workers&) const {
  return dispatcher_.WorkersView(facts_.now);
}

message::DeadLettersReply JobReader::Reply(const message::DeadLetters& request) const {
  return ReadPageThatFits(
      ParseDeadLetterFilter(request.filter),
      [this](const DeadLetterFilter& filter) {
        const DeadLetterPage page = ledger_.ListDeadLetters(filter);
        message::DeadLettersReply reply{.next_page_token = page.next_page_token};
        for (const DeadLetterRecord& letter : page.letters) {
          reply.dead_letters.push_back(ToJson(letter));
        }
        return reply;
      },
      [](const message::DeadLettersReply& reply) -> const nlohmann::json& {
        return reply.dead_letters;
      });
}

message::DeadLetterGroupsReply JobReader::Reply(const message::DeadLetterGroups& request) const {
  message::DeadLetterGroupsReply reply;
  for (const DeadLetterGroup& group :
       ledger_.DeadLetterGroups(ParseDeadLetterFilter(request.filter), kMaxGroups)) {
    reply.groups.push_back(ToJson(group));
  }
  return reply;
}

message::DeadLetterReply JobReader::Reply(const message::GetDeadLetter& request) const {
  const std::optional<DeadLetterRecord> letter = ledger_.FindDeadLetter(request.job_id);
  if (!letter) {
    throw Error(ErrorCode::kDeadLetterNotFound, "job " + request.job_id + " has no dead letter");
  }
  return {.dead_letter = ToJson(*letter)};
}

message::GetRedriveReply JobReader::Reply(const message::GetRedrive& request) const {
  const std::optional<RedriveRecord> redrive = ledger_.FindRedrive(request.redrive_id);
  if (!redrive) {
    throw Error(ErrorCode::kRedriveNotFound, "there is no redrive " + request.redrive_id);
  }
  return {.redrive = ToJson(*redrive)};
}

message::RedriveManyReply JobReader::Reply(const message::RedriveMany& request) const {
  const std::optional<RedriveRecord> redrive = ledger_.FindRedrive(request.redrive_id);
  if (!redrive) return {.count = CountOpen(request.filter)};
  return {.count = redrive->count, .redrive = ToJson(*redrive)};
}

message::PurgeManyReply JobReader::Reply(const message::PurgeMany& request) const {
  if (!request.dry_run) {
    if (const auto purge = ledger_.FindPurge(request.purge_id)) return {.count = purge->count};
  }
  return {.count = CountOpen(request.filter)};
}

message::Pong JobReader::Reply(const message::Ping&) const {
  return {.version = std::string(kVersion),
          .accepting = !facts_.refusal.has_value(),
          .reason = facts_.refusal.value_or("")};
}

int64_t JobReader::CountOpen(const nlohmann::json& filter) const {
  DeadLetterFilter open = ParseDeadLetterFilter(filter);
  open.state = NameOf(DeadLetterRecord::State::kOpen);
  return std::min(ledger_.CountDeadLetters(open), static_cast<int64_t>(kMaxLettersAtOnce));
}

Job JobReader::FindEnded(const std::string& job_id) const {
  std::optional<Job> job = ledger_.FindJob(job_id);
  if (!job) throw Error(ErrorCode::kJobNotFound, "there is no job " + job_id);
  return *std::move(job);
}

nlohmann::json JobReader::ViewOf(const Job& job) const {
  if (const Job* live = dispatcher_.Find(job.id)) return JobView(*live, dispatcher_.Live(job.id));
  LiveJob ended;
  ended.attempt = ledger_.LastAttemptNumber(job.id, job.generation);
  return JobView(job, ended);
}

}  // namespace millrace::broker
