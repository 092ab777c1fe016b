#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/routes.h"
#include "core/base/fields.h"
#include "core/model/job.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

namespace millrace::api {
namespace {

// Probing is short; media that takes longer than this to be understood is answered 504.
constexpr std::chrono::seconds kProbeDeadline{30};

Input ReadInput(const http::Request& request) {
  const nlohmann::json body = ReadJsonBody(request);
  std::vector<FieldError> errors;
  Fields fields(body, "", errors);
  Input input;
  if (const nlohmann::json* given = fields.Raw("input")) {
    input = ParseInput(*given, "/input", errors);
  } else {
    fields.Fail("input", "is required");
  }
  fields.RefuseOthers();
  if (!errors.empty()) throw Error(std::move(errors));
  return input;
}

void Probe(ApiContext& context, const http::Request& request, const http::ResponderPtr& responder) {
  RefuseQuery(request);
  const Input input = ReadInput(request);
  nlohmann::json facts;
  try {
    facts = InputFactsOf(context.media, input);
  } catch (const Error& error) {
    responder->Send(InputProblem(error, input));
    return;
  }
  const message::Probe probe{.input = ToJson(input),
                             .input_name = facts.at("name"),
                             .deadline_unix_ms = DeadlineUnixMs(context.clock, kProbeDeadline)};
  facts.update(probe.input);
  context.broker.CallOnce(
      probe, kProbeDeadline,
      Answering<message::ProbeReply>(
          responder, [facts](const http::Request&, const message::ProbeReply& reply) {
            return JsonResponse(200, {{"input", facts}, {"media", reply.media}});
          }));
}

}  // namespace

void AddProbeRoute(http::Router& router, ApiContext& context) {
  router.Add("POST", "/v1/probe",
             [&context](const http::Request& request, const http::ResponderPtr& responder) {
               Probe(context, request, responder);
             });
}

}  // namespace millrace::api
