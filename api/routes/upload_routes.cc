#include <memory>
#include <utility>

#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/routes.h"
#include "core/base/failpoint.h"

namespace millrace::api {
namespace {

constexpr size_t kMaxNameBytes = 255;

std::string UploadPath(const Upload& upload) { return "/v1/uploads/" + upload.id; }

nlohmann::json UploadView(const Upload& upload) {
  nlohmann::json view = ToJson(upload);
  view["links"] = {{"self", UploadPath(upload)}};
  return view;
}

// Writes one upload as it arrives. Dropped before its end, it leaves nothing.
class UploadSink final : public http::BodySink {
 public:
  UploadSink(std::unique_ptr<UploadWriter> writer, http::ResponderPtr responder, WorkQueue& disk)
      : writer_(std::move(writer)), responder_(std::move(responder)), disk_(disk) {}

  void Data(std::string_view bytes) override { writer_->Write(bytes); }

  void Done() override {
    // The bytes may take seconds to reach the disk; other connections of this thread go on.
    disk_.Post([writer = std::shared_ptr(std::move(writer_)), responder = std::move(responder_)] {
      Answer(responder, [&] {
        const Upload upload = writer->Commit();
        Failpoint("api.after_upload");
        return JsonResponse(201, UploadView(upload), {{"Location", UploadPath(upload)}});
      });
    });
  }

  void Abort() override { writer_.reset(); }

 private:
  std::unique_ptr<UploadWriter> writer_;
  http::ResponderPtr responder_;
  WorkQueue& disk_;
};

std::unique_ptr<http::BodySink> OpenUpload(ApiContext& context, const http::Request& request,
                                           http::ResponderPtr responder) {
  RefuseQuery(request);
  const std::string& name = request.PathParameter("name");
  if (name.empty() || name.size() > kMaxNameBytes) {
    throw Error({{"/name", "must have 1 to " + std::to_string(kMaxNameBytes) + " bytes"}});
  }
  return std::make_unique<UploadSink>(context.media.BeginUpload(name), std::move(responder),
                                      context.disk);
}

}  // namespace

void AddUploadRoutes(http::Router& router, ApiContext& context) {
  router.AddUpload("PUT", "/v1/uploads/{name}",
                   [&context](const http::Request& request, http::ResponderPtr responder) {
                     return OpenUpload(context, request, std::move(responder));
                   });
  router.Add("GET", "/v1/uploads/{id}",
             [&context](const http::Request& request, const http::ResponderPtr& responder) {
               RefuseQuery(request);
               const std::string& id = request.PathParameter("id");
               const auto upload = context.media.FindUpload(id);
               if (!upload) throw Error(ErrorCode::kUploadNotFound, "there is no upload " + id);
               responder->Send(JsonResponse(200, UploadView(*upload)));
             });
}

}  // namespace millrace::api
