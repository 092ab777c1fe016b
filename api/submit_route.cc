#include <chrono>
#include <utility>

#include "api/job_reply.h"
#include "api/recent_map.h"
#include "api/replies.h"
#include "api/request_reader.h"
#include "api/routes.h"
#include "core/id.h"
#include "core/job.h"
#include "core/message.h"

namespace millrace {
namespace {

constexpr size_t kRememberedUploads = 1024;
constexpr std::chrono::minutes kRememberFor{1};

// POST /v1/jobs. Shared by its handler's copies; used by all HTTP worker threads.
class Submission {
 public:
  explicit Submission(ApiContext& context)
      : context_(context), uploads_(context.clock, kRememberedUploads, kRememberFor) {}

  void Handle(const http::Request& request, const http::ResponderPtr& responder) {
    RefuseQuery(request);
    const JobRequest job = ParseJobRequest(ReadJsonBody(request), context_.presets);
    nlohmann::json facts;
    try {
      facts = FactsOf(job.input);
    } catch (const Error& error) {
      responder->Send(InputProblem(error, job.input));
      return;
    }
    // The id is made here, so that a repeated message makes no second job.
    nlohmann::json body = {
        {"job_id", NewJobId()},
        {"request", ToJson(job)},
        {"input_facts", std::move(facts)},
        {"deadline_unix_ms", DeadlineUnixMs(context_.clock, context_.broker.options().deadline)}};
    context_.broker.Call(client::kSubmit, std::move(body),
                         [&context = context_, responder](const BrokerReply& reply) {
                           OnAccepted(context, responder, reply);
                         });
  }

 private:
  // An upload never changes once it is there, but it may be removed.
  nlohmann::json FactsOf(const Input& input) {
    if (input.upload.empty()) return InputFactsOf(context_.media, input);
    if (auto known = uploads_.Find(input.upload)) {
      context_.media.Resolve(input);
      return *std::move(known);
    }
    nlohmann::json facts = InputFactsOf(context_.media, input);
    uploads_.Put(input.upload, facts);
    return facts;
  }

  // Static: the broker may answer when the server and this route are gone.
  static void OnAccepted(ApiContext& context, const http::ResponderPtr& responder,
                         const BrokerReply& reply) {
    if (const auto* error = std::get_if<Error>(&reply)) {
      responder->Send(ProblemResponse(*error));
      return;
    }
    const auto wait = PreferredWait(responder->request());
    const nlohmann::json& job = std::get<nlohmann::json>(reply).at("job");
    if (!wait) {
      Answer(responder, [&] { return Accepted(job); });
      return;
    }
    const std::weak_ptr<JobWaiter::Parked> parked =
        context.waiter.Park({.job_id = job.at("id"),
                             .at_most = *wait,
                             .until_finished = true,
                             .satisfied = IsFinished,
                             .done = [responder, wait, job](const BrokerReply& later) {
                               Answer(responder, [&] { return Waited(*wait, job, later); });
                             }});
    responder->OnDisconnect([&context, parked] { context.waiter.Forget(parked); });
  }

  static http::Response Accepted(nlohmann::json job) {
    http::Headers headers = {{"Location", JobPath(job.at("id"))}};
    return JobResponse(202, std::move(job), std::move(headers));
  }

  // The job was accepted, whatever has become of the broker since.
  static http::Response Waited(std::chrono::seconds wait, const nlohmann::json& accepted,
                               const BrokerReply& reply) {
    if (std::holds_alternative<Error>(reply)) return Accepted(accepted);
    const nlohmann::json& job = std::get<nlohmann::json>(reply).at("job");
    if (!IsFinished(job)) return Accepted(job);
    return JobResponse(
        200, job,
        {{"Location", JobPath(job.at("id"))}, {"Preference-Applied", PreferenceApplied(wait)}});
  }

  ApiContext& context_;
  RecentMap<nlohmann::json> uploads_;
};

}  // namespace

void AddSubmitRoute(http::Router& router, ApiContext& context) {
  auto submission = std::make_shared<Submission>(context);
  router.Add("POST", "/v1/jobs",
             [submission](const http::Request& request, const http::ResponderPtr& responder) {
               submission->Handle(request, responder);
             });
}

}  // namespace millrace
