#include <fmt/format.h>

#include <map>
#include <memory>
#include <utility>

#include "api/reply/recent_map.h"
#include "api/reply/replies.h"
#include "api/routes/routes.h"
#include "core/base/unique_fd.h"
#include "core/model/job.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::api {
namespace {

constexpr size_t kRememberedJobs = 256;
constexpr std::chrono::seconds kRememberFor{30};

// The published files of one job.
struct Published {
  struct File {
    std::string media_type;
    std::string sha256;
  };
  Fence fence = 0;
  std::map<std::string, File, std::less<>> files;  // by path
};
using PublishedPtr = std::shared_ptr<const Published>;

// Throws Error{kOutputNotFound} for a job that has published nothing.
PublishedPtr PublishedOf(const message::GetJobReply& reply) {
  const nlohmann::json& job = reply.job;
  auto published = std::make_shared<Published>();
  published->fence = reply.published_fence;
  if (published->fence == 0) {
    throw Error(ErrorCode::kOutputNotFound,
                fmt::format("the job is {}; outputs are there once it has succeeded",
                            job.at("state").get_ref<const std::string&>()));
  }
  for (const nlohmann::json& output : job.at("outputs")) {
    for (const nlohmann::json& file : output.at("files")) {
      published->files[file.at("path")] = {.media_type = file.at("media_type"),
                                           .sha256 = file.at("sha256")};
    }
  }
  return published;
}

// GET and HEAD /v1/jobs/{id}/outputs/{path...}. A player asks for many ranges of one file: what the
// broker said of the job is kept for a while. Shared by the route and the answers on their way;
// used by all threads.
class Outputs : public std::enable_shared_from_this<Outputs> {
 public:
  explicit Outputs(ApiContext& context)
      : context_(context), published_(context.clock, kRememberedJobs, kRememberFor) {}

  void Handle(const http::Request& request, const http::ResponderPtr& responder) {
    const std::string& job_id = JobIdOf(request);
    if (const auto known = published_.Find(job_id); known && Send(**known, responder)) return;
    const auto on_reply = [self = shared_from_this(), responder](BrokerReply reply) {
      // Files are opened apart from the link's thread: a disk may be slow.
      self->context_.disk.Post(
          [self, responder, reply = std::move(reply)] { self->OnReply(responder, reply); });
    };
    context_.broker.Call(message::GetJob{{.job_id = job_id}}, on_reply);
  }

 private:
  void OnReply(const http::ResponderPtr& responder, const BrokerReply& reply) {
    try {
      if (const auto* error = std::get_if<Error>(&reply)) throw Error(*error);
      const PublishedPtr published =
          PublishedOf(ReadReply<message::GetJobReply>(std::get<nlohmann::json>(reply)));
      const http::Request& request = responder->request();
      published_.Put(JobIdOf(request), published);
      if (!Send(*published, responder)) {
        throw Error(ErrorCode::kOutputNotFound,
                    "the job has no file '" + request.PathParameter("path") + "'");
      }
    } catch (...) {
      responder->Send(ProblemResponse(std::current_exception()));
    }
  }

  // Returns false if there is no such file.
  bool Send(const Published& published, const http::ResponderPtr& responder) {
    const http::Request& request = responder->request();
    const std::string& path = request.PathParameter("path");
    const auto file = published.files.find(path);
    if (file == published.files.end()) return false;
    const auto place = context_.media.FindOutput(JobIdOf(request), published.fence, path);
    UniqueFd opened = place ? http::OpenForSending(*place) : UniqueFd();
    if (!opened) return false;
    responder->SendFile({.file = std::move(opened),
                         .media_type = file->second.media_type,
                         .etag = "\"" + file->second.sha256 + "\"",
                         .headers = {{"Cache-Control", "private, no-cache"},
                                     {"X-Content-Type-Options", "nosniff"}}});
    return true;
  }

  ApiContext& context_;
  RecentMap<PublishedPtr> published_;
};

}  // namespace

void AddOutputRoutes(http::Router& router, ApiContext& context) {
  router.Add("GET", "/v1/jobs/{id}/outputs/{path...}",
             [outputs = std::make_shared<Outputs>(context)](const http::Request& request,
                                                            const http::ResponderPtr& responder) {
               outputs->Handle(request, responder);
             });
}

}  // namespace millrace::api
