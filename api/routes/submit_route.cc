#include <chrono>
#include <optional>
#include <string>
#include <utility>

#include "api/reply/idempotency_key.h"
#include "api/reply/job_reply.h"
#include "api/reply/recent_map.h"
#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/routes.h"
#include "core/base/failpoint.h"
#include "core/base/id.h"
#include "core/model/job.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::api {
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
    const std::optional<std::string> key = IdempotencyKeyOf(request);
    const nlohmann::json body = ReadJsonBody(request);
    const JobRequest job = ParseJobRequest(body, context_.presets);
    // The id is made here, so that a repeated message makes no second job.
    message::Submit submit{.job_id = NewJobId(), .request = ToJson(job)};
    if (key) {
      submit.idempotency_key = *key;
      submit.fingerprint = FingerprintOf(body);
    }
    try {
      submit.input_facts = FactsOf(job.input);
    } catch (const Error& error) {
      OnMissingInput(std::move(submit), error, job.input, responder);
      return;
    }
    submit.deadline_unix_ms = DeadlineUnixMs(context_.clock, context_.broker.options().deadline);
    Failpoint("api.before_submit");
    context_.broker.Call(submit, [&context = context_, responder](const BrokerReply& reply) {
      OnReply(context, responder, reply);
    });
  }

 private:
  // A job that was made under this key before does not need its input any more. Only the broker
  // knows such jobs, so it is asked; a deadline that has passed keeps it from making a new one.
  void OnMissingInput(message::Submit submit, const Error& problem, const Input& input,
                      const http::ResponderPtr& responder) {
    if (submit.idempotency_key.empty()) {
      responder->Send(InputProblem(problem, input));
      return;
    }
    submit.input_facts = {{"name", nullptr}, {"bytes", nullptr}, {"sha256", nullptr}};
    submit.deadline_unix_ms = 0;
    context_.broker.Call(
        submit, [&context = context_, responder, problem, input](const BrokerReply& reply) {
          const auto* error = std::get_if<Error>(&reply);
          if (error != nullptr && error->code() == ErrorCode::kDeadlineExceeded) {
            responder->Send(InputProblem(problem, input));
          } else {
            OnReply(context, responder, reply);
          }
        });
  }

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
  static void OnReply(ApiContext& context, const http::ResponderPtr& responder,
                      const BrokerReply& reply) {
    if (const auto* error = std::get_if<Error>(&reply)) {
      responder->Send(ProblemResponse(*error));
      return;
    }
    try {
      Failpoint("api.after_submit");
      OnAccepted(context, responder,
                 ReadReply<message::JobReply>(std::get<nlohmann::json>(reply)).job);
    } catch (...) {
      responder->Send(ProblemResponse(std::current_exception()));
    }
  }

  static void OnAccepted(ApiContext& context, const http::ResponderPtr& responder,
                         const nlohmann::json& job) {
    const auto wait = PreferredWait(responder->request());
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
    const auto job = ReadReply<message::JobReply>(std::get<nlohmann::json>(reply)).job;
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

}  // namespace millrace::api
