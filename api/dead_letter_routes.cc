#include <fmt/format.h>

#include <utility>

#include "api/dead_letter_files.h"
#include "api/dead_letters.h"
#include "api/replies.h"
#include "api/request_reader.h"
#include "api/routes.h"
#include "core/message.h"

// The queue of dead letters: listed, grouped, shown.

namespace millrace {
namespace {

constexpr int64_t kMaxPageSize = 500;

http::Response PageOf(nlohmann::json reply) {
  nlohmann::json page = {{"dead_letters", nlohmann::json::array()},
                         {"next_page_token", reply.at("next_page_token")}};
  for (nlohmann::json& letter : reply.at("dead_letters")) {
    page["dead_letters"].push_back(LetterWithLinks(std::move(letter)));
  }
  return JsonResponse(200, page);
}

// Where the letters of a group are listed: those that were counted.
std::string ListOf(nlohmann::json filter, const std::string& signature) {
  filter["signature"] = signature;
  std::string target;
  for (const auto& [name, value] : filter.items()) {
    target += fmt::format("{}{}={}", target.empty() ? "/v1/dead-letters?" : "&", name,
                          PercentEncodedPath(value.get_ref<const std::string&>()));
  }
  return target;
}

http::Response GroupsOf(const nlohmann::json& filter, nlohmann::json reply) {
  for (nlohmann::json& group : reply.at("groups")) {
    group["links"] = nlohmann::json::object();
    const nlohmann::json& signature = group.at("signature");
    if (signature.is_string()) group["links"]["dead_letters"] = ListOf(filter, signature);
  }
  return JsonResponse(200, {{"groups", reply.at("groups")}});
}

// What is asked of the broker: `grouped`, or a page.
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
    context.broker.Call(client::kDeadLetters, listing.filter,
                        Answering(responder, [](const http::Request&, nlohmann::json reply) {
                          return PageOf(std::move(reply));
                        }));
    return;
  }
  context.broker.Call(
      client::kDeadLetterGroups, listing.filter,
      Answering(responder, [filter = listing.filter](const http::Request&, nlohmann::json reply) {
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

// A redriven job that is dying again has its new folder before its new letter.
bool IsReportOf(const nlohmann::json& letter, const nlohmann::json& report) {
  const auto same = [&](const char* member) {
    const auto found = report.find(member);
    return found != report.end() && *found == letter.at(member);
  };
  return report.is_object() && same("job") && same("generation");
}

void ShowLetter(ApiContext& context, const http::Request& request,
                const http::ResponderPtr& responder) {
  RefuseQuery(request);
  WithLetter(context, responder,
             [&context](const http::ResponderPtr& answer, const nlohmann::json& letter) {
               nlohmann::json view = LetterWithLinks(letter);
               view["report"] = nullptr;
               view["files"] = nlohmann::json::array();
               if (!HasLeftNothing(letter)) {
                 const std::string job_id = letter.at("job");
                 const DeadLetterFiles folder(context.media.DeadLetterFolder(job_id));
                 nlohmann::json report = folder.Report();
                 if (IsReportOf(letter, report)) view["report"] = std::move(report);
                 view["files"] = FilesOf(folder, job_id);
               }
               answer->Send(JsonResponse(200, view));
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

}  // namespace millrace
