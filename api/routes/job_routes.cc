#include <utility>

#include "api/http_server/byte_range.h"
#include "api/reply/job_reply.h"
#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/routes.h"
#include "core/base/id.h"
#include "core/model/job.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::api {
namespace {

bool ClientHas(const http::Request& request, const nlohmann::json& job) {
  const auto known = request.headers.Find("If-None-Match");
  return known && http::NoneMatchNames(*known, EtagOf(job));
}

http::Response JobOrNotModified(const http::Request& request, nlohmann::json job,
                                http::Headers headers = {}) {
  if (!ClientHas(request, job)) return JobResponse(200, std::move(job), std::move(headers));
  headers.Set("ETag", EtagOf(job));
  headers.Set("Cache-Control", "no-cache");
  if (!IsFinished(job)) headers.Set("Retry-After", std::to_string(RetryAfterOf(job).count()));
  return {.status = 304, .headers = std::move(headers), .body = {}};
}

// Waits for any change with If-None-Match, else for the end of the job.
void GetJobLater(ApiContext& context, const http::Request& request,
                 const http::ResponderPtr& responder, std::chrono::seconds wait) {
  const bool any_change = request.headers.Has("If-None-Match");
  const auto satisfied = [responder, any_change](const nlohmann::json& job) {
    return IsFinished(job) || (any_change && !ClientHas(responder->request(), job));
  };
  const auto answer = [wait](const http::Request& asked, message::JobReply reply) {
    return JobOrNotModified(asked, std::move(reply.job),
                            {{"Preference-Applied", PreferenceApplied(wait)}});
  };
  const auto parked =
      context.waiter.Park({.job_id = JobIdOf(request),
                           .at_most = wait,
                           .until_finished = !any_change,
                           .satisfied = satisfied,
                           .done = Answering<message::JobReply>(responder, answer)});
  responder->OnDisconnect([&context, parked] { context.waiter.Forget(parked); });
}

void GetJob(ApiContext& context, const http::Request& request,
            const http::ResponderPtr& responder) {
  RefuseQuery(request);
  const std::string& id = JobIdOf(request);
  if (const auto wait = PreferredWait(request)) {
    GetJobLater(context, request, responder, *wait);
    return;
  }
  context.broker.Call(message::GetJob{{.job_id = id}},
                      Answering<message::JobReply>(
                          responder, [](const http::Request& asked, message::JobReply reply) {
                            return JobOrNotModified(asked, std::move(reply.job));
                          }));
}

void GetAttempts(ApiContext& context, const http::Request& request,
                 const http::ResponderPtr& responder) {
  RefuseQuery(request);
  context.broker.Call(message::Attempts{{.job_id = JobIdOf(request)}},
                      Answering<message::AttemptsReply>(
                          responder, [](const http::Request&, const message::AttemptsReply& reply) {
                            return JsonResponse(200, message::ToJson(reply));
                          }));
}

void CancelJob(ApiContext& context, const http::Request& request,
               const http::ResponderPtr& responder) {
  RefuseQuery(request);
  const std::string& id = JobIdOf(request);
  if (!request.body.empty() && ReadJsonBody(request) != nlohmann::json::object()) {
    throw Error(ErrorCode::kInvalidRequest, "cancel takes no body");
  }
  context.broker.Call(
      message::Cancel{{.job_id = id}},
      Answering<message::JobReply>(responder, [](const http::Request&, message::JobReply reply) {
        return JobResponse(202, std::move(reply.job));
      }));
}

}  // namespace

const std::string& JobIdOf(const http::Request& request) {
  const std::string& id = request.PathParameter("id");
  if (!IsId(id, "job_")) {
    throw Error(ErrorCode::kJobNotFound, "'" + id + "' is not the id of a job");
  }
  return id;
}

void AddJobRoutes(http::Router& router, ApiContext& context) {
  const auto add = [&](const char* method, const char* pattern, auto handle) {
    router.Add(
        method, pattern,
        [&context, handle](const http::Request& request, const http::ResponderPtr& responder) {
          handle(context, request, responder);
        });
  };
  add("GET", "/v1/jobs/{id}", GetJob);
  add("GET", "/v1/jobs/{id}/attempts", GetAttempts);
  add("POST", "/v1/jobs/{id}/cancel", CancelJob);
}

}  // namespace millrace::api
