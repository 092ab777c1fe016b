#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/routes.h"

namespace millrace::api {

void AddPresetRoutes(http::Router& router, ApiContext& context) {
  router.Add("GET", "/v1/presets",
             [&context](const http::Request& request, const http::ResponderPtr& responder) {
               RefuseQuery(request);
               responder->Send(JsonResponse(200, {{"presets", context.presets.Views()}}));
             });
  router.Add("GET", "/v1/presets/{name}",
             [&context](const http::Request& request, const http::ResponderPtr& responder) {
               RefuseQuery(request);
               const std::string& name = request.PathParameter("name");
               const nlohmann::json* view = context.presets.FindView(name);
               if (view == nullptr) {
                 throw Error(ErrorCode::kUnknownPreset, "there is no preset '" + name + "'");
               }
               responder->Send(JsonResponse(200, *view));
             });
}

}  // namespace millrace::api
