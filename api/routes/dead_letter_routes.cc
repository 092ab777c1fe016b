#include <fmt/format.h>

#include <algorithm>
#include <utility>
#include <variant>

#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/dead_letter_files.h"
#include "api/routes/dead_letters.h"
#include "api/routes/routes.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

// The queue of dead letters: listed, grouped, shown.

namespace millrace::api {
namespace {

constexpr int64_t kMaxPageSize = 500;

bool IsRedriven(const nlohmann::json& letter) { return letter.at("state") == "redriven"; }

// Looks for the folder of a redriven letter only: it goes when the job ends. An open letter has
// one.
bool HasFiles(const MediaStore& media, const nlohmann::json& letter) {
  if (!IsRedriven(letter)) return !HasLeftNothing(letter);
  return DeadLetterFiles(media.DeadLetterFolder(letter.at("job"))).IsThere();
}

http::Response PageOf(const MediaStore& media, message::DeadLettersReply reply) {
  for (nlohmann::json& letter : reply.dead_letters) {
    const bool has_files = HasFiles(media, letter);
    letter = LetterWithLinks(std::move(letter), has_files);
  }
  return JsonResponse(200, message::ToJson(reply));
}

void SendPage(ApiContext& context, const http::ResponderPtr& responder, const BrokerReply& reply) {
  if (const auto* error = std::get_if<Error>(&reply)) {
    responder->Send(ProblemResponse(*error));
    return;
  }
  const auto page = ReadReply<message::DeadLettersReply>(std::get<nlohmann::json>(reply));
  const auto send = [&context, responder, page] {
    Answer(responder, [&] { return PageOf(context.media, page); });
  };
  // Leave the link's thread only where a disk is looked at, which may be slow.
  if (std::ranges::any_of(page.dead_letters, IsRedriven)) {
    context.disk.Post(send);
  } else {
    send();
  }
}

// Returns the URL that lists the letters which were counted in a group.
std::string ListOf(nlohmann::json filter, const std::string& signature) {
  filter["signature"] = signature;
  std::string target;
  for (const auto& [name, value] : filter.items()) {
    target += fmt::format("{}{}={}", target.empty() ? "/v1/dead-letters?" : "&", name,
                          PercentEncodedPath(value.get_ref<const std::string&>()));
  }
  return target;
}

http::Response GroupsOf(const nlohmann::json& filter, message::DeadLetterGroupsReply reply) {
  for (nlohmann::json& group : reply.groups) {
    group["links"] = nlohmann::json::object();
    const nlohmann::json& signature = group.at("signature");
    if (signature.is_string()) group["links"]["dead_letters"] = ListOf(filter, signature);
  }
  return JsonResponse(200, message::ToJson(reply));
}

// A request to the broker: for groups, or for a page.
struct Listing {
  bool grouped = false;
  nlohmann::json filter;
};

// Throws naming every wrong parameter.
Listing ListingOf(const http::Request& request) {
  QueryReader query(request, {"group_by", "state", "code", "blame", "signature", "stage", "worker",
                              "died_after", "died_before", "page_size", "page_token"});
  Listing listing{.filter = ReadLetterFilter(query)};
  if (const auto by = query.One("group_by")) {
    if (*by != "signature") query.Fail("group_by", "must be signature");
    listing.grouped = true;
  }
  const auto size = query.Integer("page_size", 1, kMaxPageSize);
  if (size) listing.filter["page_size"] = *size;
  const auto token = query.One("page_token");
  if (token && !token->empty()) listing.filter["page_token"] = *token;
  if (listing.grouped && size) query.Fail("page_size", "groups have no pages");
  if (listing.grouped && token) query.Fail("page_token", "groups have no pages");
  query.ThrowIfWrong();
  return listing;
}

void ListLetters(ApiContext& context, const http::Request& request,
                 const http::ResponderPtr& responder) {
  const Listing listing = ListingOf(request);
  if (!listing.grouped) {
    context.broker.Call(
        message::DeadLetters{{.filter = listing.filter}},
        [&context, responder](const BrokerReply& reply) { SendPage(context, responder, reply); });
    return;
  }
  context.broker.Call(
      message::DeadLetterGroups{{.filter = listing.filter}},
      Answering<message::DeadLetterGroupsReply>(
          responder,
          [filter = listing.filter](const http::Request&, message::DeadLetterGroupsReply reply) {
            return GroupsOf(filter, std::move(reply));
          }));
}

nlohmann::json FilesOf(const DeadLetterFiles& folder, const std::string& job_id) {
  nlohmann::json files = nlohmann::json::array();
  for (const DeadLetterFiles::File& file : folder.List()) {
    files.push_back({{"name", file.name},
                     {"bytes", file.bytes},
                     {"url", DeadLetterPath(job_id) + "/files/" + PercentEncodedPath(file.name)}});
  }
  return files;
}

bool IsReportOf(const nlohmann::json& letter, const nlohmann::json& report) {
  const auto same = [&](const char* member) {
    const auto found = report.find(member);
    return found != report.end() && *found == letter.at(member);
  };
  return report.is_object() && same("job") && same("generation");
}

// Adds the report and the files of its folder to a letter.
nlohmann::json WholeLetter(const MediaStore& media, const nlohmann::json& letter) {
  const std::string job_id = letter.at("job");
  nlohmann::json report;
  nlohmann::json files = nlohmann::json::array();
  bool has_files = false;
  if (!HasLeftNothing(letter)) {
    const DeadLetterFiles folder(media.DeadLetterFolder(job_id));
    report = folder.Report();
    const bool is_anothers = IsOfAnotherGeneration(letter, report);
    if (!IsReportOf(letter, report)) report = nullptr;
    if (!is_anothers) files = FilesOf(folder, job_id);
    has_files = !IsRedriven(letter) || (folder.IsThere() && !is_anothers);
  }
  nlohmann::json view = LetterWithLinks(letter, has_files);
  view["report"] = std::move(report);
  view["files"] = std::move(files);
  return view;
}

void ShowLetter(ApiContext& context, const http::Request& request,
                const http::ResponderPtr& responder) {
  RefuseQuery(request);
  WithLetter(context, responder,
             [&context](const http::ResponderPtr& answer, const nlohmann::json& letter) {
               answer->Send(JsonResponse(200, WholeLetter(context.media, letter)));
             });
}

}  // namespace

void AddDeadLetterRoutes(http::Router& router, ApiContext& context) {
  const auto add = [&](const char* pattern, auto handle) {
    router.Add(
        "GET", pattern,
        [&context, handle](const http::Request& request, const http::ResponderPtr& responder) {
          handle(context, request, responder);
        });
  };
  add("/v1/dead-letters", ListLetters);
  add("/v1/dead-letters/{job}", ShowLetter);
}

}  // namespace millrace::api
