#include <utility>

#include "api/reply/job_reply.h"
#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/routes.h"
#include "core/model/job.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::api {
namespace {

constexpr int64_t kMaxPageSize = 500;

// Returns null if none is asked for.
nlohmann::json ReadStates(QueryReader& query) {
  nlohmann::json states;
  for (const std::string& name : query.List("state")) {
    if (JobStateFromName(name)) {
      states.push_back(name);
    } else {
      query.Fail("state", "'" + name + "' is not a state of a job");
    }
  }
  return states;
}

// Returns null if none is asked for.
nlohmann::json ReadLabels(QueryReader& query) {
  nlohmann::json labels;
  for (const std::string& label : query.Each("label")) {
    const size_t colon = label.find(':');
    if (colon == 0 || colon == std::string::npos) {
      query.Fail("label", "'" + label + "' is not of the form name:value");
    } else {
      const std::string name = label.substr(0, colon);
      nlohmann::json& value = labels[name];
      if (!value.is_null()) query.Fail("label", "'" + name + "' is asked for more than once");
      value = label.substr(colon + 1);
    }
  }
  return labels;
}

// Reads the filter of `list_jobs`. Throws naming every wrong parameter.
nlohmann::json FilterOf(const http::Request& request) {
  QueryReader query(request, {"state", "label", "external_id", "created_after", "created_before",
                              "order", "page_size", "page_token"});
  nlohmann::json filter = nlohmann::json::object();
  if (auto states = ReadStates(query); !states.is_null()) filter["states"] = std::move(states);
  if (auto labels = ReadLabels(query); !labels.is_null()) filter["labels"] = std::move(labels);
  if (auto id = query.One("external_id")) filter["external_id"] = *id;
  if (auto time = query.Time("created_after")) filter["created_after"] = *time;
  if (auto time = query.Time("created_before")) filter["created_before"] = *time;
  if (auto order = query.One("order")) {
    if (*order != "asc" && *order != "desc") query.Fail("order", "must be asc or desc");
    filter["order"] = *order;
  }
  if (auto size = query.Integer("page_size", 1, kMaxPageSize)) filter["page_size"] = *size;
  if (auto token = query.One("page_token"); token && !token->empty()) {
    filter["page_token"] = *token;
  }
  query.ThrowIfWrong();
  return filter;
}

http::Response PageOf(const http::Request& /*request*/, message::ListJobsReply reply) {
  for (nlohmann::json& job : reply.jobs) job = WithLinks(std::move(job));
  return JsonResponse(200, message::ToJson(reply));
}

}  // namespace

void AddJobListRoute(http::Router& router, ApiContext& context) {
  router.Add("GET", "/v1/jobs",
             [&context](const http::Request& request, const http::ResponderPtr& responder) {
               context.broker.Call(message::ListJobs{{.filter = FilterOf(request)}},
                                   Answering<message::ListJobsReply>(responder, PageOf));
             });
}

}  // namespace millrace::api
