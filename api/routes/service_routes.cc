#include "api/reply/embedded_files.h"
#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/routes.h"
#include "core/base/settings.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::api {
namespace {

http::Response Readiness(const message::Pong& pong) {
  if (!pong.accepting) {
    return ProblemResponse(
        Error(ErrorCode::kBrokerUnavailable,
              "the broker takes no work now" + (pong.reason.empty() ? "" : ": " + pong.reason)));
  }
  return JsonResponse(
      200, {{"status", "ready"}, {"version", kVersion}, {"broker", {{"version", pong.version}}}});
}

void AskReadiness(ApiContext& context, const http::Request& request,
                  const http::ResponderPtr& responder) {
  RefuseQuery(request);
  if (context.draining) throw Error(ErrorCode::kDraining, "this server is shutting down");
  context.broker.Call(
      message::Ping{},
      Answering<message::Pong>(responder, [](const http::Request&, const message::Pong& pong) {
        return Readiness(pong);
      }));
}

// Adds a call that passes on the broker's answer to `type`.
void AddView(http::Router& router, ApiContext& context, const char* path, std::string_view type) {
  router.Add("GET", path,
             [&context, type](const http::Request& request, const http::ResponderPtr& responder) {
               RefuseQuery(request);
               context.broker.Call(
                   type, nlohmann::json::object(),
                   Answering(responder, [](const http::Request&, const nlohmann::json& reply) {
                     return JsonResponse(200, reply);
                   }));
             });
}

}  // namespace

void AddServiceRoutes(http::Router& router, ApiContext& context) {
  AddView(router, context, "/v1/queue", message::kQueue);
  AddView(router, context, "/v1/workers", message::kWorkers);
  router.Add("GET", "/livez",
             [](const http::Request& request, const http::ResponderPtr& responder) {
               RefuseQuery(request);
               responder->Send(JsonResponse(200, {{"status", "alive"}, {"version", kVersion}}));
             });
  router.Add("GET", "/readyz",
             [&context](const http::Request& request, const http::ResponderPtr& responder) {
               AskReadiness(context, request, responder);
             });
  router.Add("GET", "/openapi.json",
             [](const http::Request& request, const http::ResponderPtr& responder) {
               RefuseQuery(request);
               responder->Send({.status = 200,
                                .headers = {{"Content-Type", "application/json"},
                                            {"Cache-Control", "no-cache"}},
                                .body = std::string(OpenApiDocument())});
             });
}

}  // namespace millrace::api
