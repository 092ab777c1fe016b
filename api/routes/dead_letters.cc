#include "api/routes/dead_letters.h"

#include <algorithm>
#include <array>
#include <optional>
#include <string_view>
#include <utility>

#include "api/reply/job_reply.h"
#include "api/reply/replies.h"
#include "core/base/clock.h"
#include "core/base/id.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::api {
namespace {

constexpr auto kStates =
    std::to_array<std::string_view>({"open", "redriven", "purged", "expired", "any"});
constexpr auto kTexts =
    std::to_array<std::string_view>({"code", "blame", "signature", "stage", "worker"});
constexpr auto kTimes = std::to_array<std::string_view>({"died_after", "died_before"});
constexpr auto kBlames = std::to_array<Blame>(
    {Blame::kMedia, Blame::kRequest, Blame::kWorker, Blame::kStorage, Blame::kService});
constexpr size_t kMaxTextBytes = 256;

// Returns what is wrong with a text to filter by; empty if nothing is. A misspelt code would
// otherwise find nothing and look like good news.
std::string Complaint(std::string_view name, const std::string& text) {
  if (text.empty() || text.size() > kMaxTextBytes) {
    return "must have 1 to " + std::to_string(kMaxTextBytes) + " bytes";
  }
  if (name == "code" && !ErrorCodeFromName(text))
    return "'" + text + "' is not the code of an error";
  if (name == "blame" && std::ranges::find(kBlames, text, [](Blame blame) {
                           return NameOf(blame);
                         }) == kBlames.end()) {
    return "'" + text + "' is not one of: media, request, worker, storage, service";
  }
  return "";
}

std::optional<std::string> ReadState(QueryReader& query) {
  auto state = query.One("state");
  if (state && std::ranges::find(kStates, *state) == kStates.end()) {
    query.Fail("state", "'" + *state + "' is not one of: open, redriven, purged, expired, any");
  }
  return state;
}

std::optional<std::string> TimeIn(Fields& fields, std::string_view name) {
  auto text = fields.String(name);
  if (!text) return std::nullopt;
  try {
    ParseTime(*text);
    return text;
  } catch (const Error& error) {
    fields.Fail(name, error.what());
    return std::nullopt;
  }
}

}  // namespace

const std::string& DeadJobIdOf(const http::Request& request) {
  const std::string& id = request.PathParameter("job");
  if (!IsId(id, "job_")) {
    throw Error(ErrorCode::kDeadLetterNotFound, "'" + id + "' is not the id of a job");
  }
  return id;
}

std::string DeadLetterPath(const std::string& job_id) { return "/v1/dead-letters/" + job_id; }

bool HasLeftNothing(const nlohmann::json& letter) {
  const auto& state = letter.at("state").get_ref<const std::string&>();
  return state == "purged" || state == "expired";
}

bool IsOfAnotherGeneration(const nlohmann::json& letter, const nlohmann::json& report) {
  if (!report.is_object()) return false;
  const auto generation = report.find("generation");
  return generation != report.end() && generation->is_number_integer() &&
         *generation != letter.at("generation");
}

nlohmann::json LetterWithLinks(nlohmann::json letter, bool has_files) {
  const std::string job_id = letter.at("job");
  const std::string self = DeadLetterPath(job_id);
  nlohmann::json links = {{"self", self}, {"job", JobPath(job_id)}};
  if (has_files) {
    links["log"] = self + "/log";
    links["input"] = self + "/input";
  }
  if (letter.at("state") == "open") links["redrive"] = self + "/redrive";
  letter["links"] = std::move(links);
  return letter;
}

nlohmann::json ReadLetterFilter(QueryReader& query) {
  nlohmann::json filter = nlohmann::json::object();
  if (const auto state = ReadState(query)) filter["state"] = *state;
  for (const std::string_view name : kTexts) {
    const auto text = query.One(name);
    if (!text) continue;
    if (std::string wrong = Complaint(name, *text); !wrong.empty()) query.Fail(name, wrong);
    filter[std::string(name)] = *text;
  }
  for (const std::string_view name : kTimes) {
    if (const auto time = query.Time(name)) filter[std::string(name)] = *time;
  }
  return filter;
}

nlohmann::json ReadLetterFilter(const nlohmann::json& json, const std::string& pointer,
                                std::vector<FieldError>& errors) {
  Fields fields(json, pointer, errors);
  nlohmann::json filter = nlohmann::json::object();
  for (const auto& [name, value] : json.items()) {
    // A variable that was unset in the caller's script must not select every letter.
    if (json.is_object() && value.is_null()) fields.Fail(name, "must not be null");
  }
  for (const std::string_view name : kTexts) {
    const auto text = fields.String(name, kMaxTextBytes);
    if (!text) continue;
    if (std::string wrong = Complaint(name, *text); !wrong.empty()) fields.Fail(name, wrong);
    filter[std::string(name)] = *text;
  }
  for (const std::string_view name : kTimes) {
    if (const auto time = TimeIn(fields, name)) filter[std::string(name)] = *time;
  }
  fields.RefuseOthers();
  return filter;
}

nlohmann::json ReadRequiredFilter(Fields& body, std::vector<FieldError>& errors) {
  if (const nlohmann::json* filter = body.Raw("filter")) {
    return ReadLetterFilter(*filter, "/filter", errors);
  }
  body.Fail("filter", "is required; {} stands for all open letters");
  return nullptr;
}

void WithLetter(ApiContext& context, const http::ResponderPtr& responder, LetterUser use) {
  const auto on_reply = [&context, responder, use = std::move(use)](BrokerReply reply) {
    if (const auto* error = std::get_if<Error>(&reply)) {
      responder->Send(ProblemResponse(*error));
      return;
    }
    // Files are read apart from the link's thread: a disk may be slow.
    context.disk.Post([responder, use, body = std::move(std::get<nlohmann::json>(reply))] {
      try {
        use(responder, ReadReply<message::DeadLetterReply>(body).dead_letter);
      } catch (...) {
        responder->Send(ProblemResponse(std::current_exception()));
      }
    });
  };
  context.broker.Call(message::GetDeadLetter{{.job_id = DeadJobIdOf(responder->request())}},
                      on_reply);
}

}  // namespace millrace::api
