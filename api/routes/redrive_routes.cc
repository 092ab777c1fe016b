#include <optional>
#include <utility>

#include "api/reply/idempotency_key.h"
#include "api/reply/job_reply.h"
#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/dead_letters.h"
#include "api/routes/routes.h"
#include "core/base/fields.h"
#include "core/base/id.h"
#include "core/model/job.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

// Dead jobs that are tried again: one, or all that a filter finds.

namespace millrace::api {
namespace {

constexpr int64_t kMaxGeneration = 65'535;
constexpr std::string_view kRedrivePrefix = "rdr_";

// Reads member `spec`, a patch of a frozen spec. The broker knows no presets: those that the patch
// names are replaced by what they stand for. Null without one.
nlohmann::json ReadPatch(Fields& fields, const Presets& presets, std::vector<FieldError>& errors) {
  const nlohmann::json* given = fields.Raw("spec");
  if (given == nullptr) return nullptr;
  nlohmann::json patch = *given;
  Fields members(patch, "/spec", errors);
  const nlohmann::json* outputs = members.Raw("outputs");
  members.Raw("clip");
  members.RefuseOthers();
  if (outputs == nullptr) return patch;
  std::vector<FieldError> wrong;
  const EncodeSpec spec = ParseEncodeSpec(*outputs, nullptr, presets, wrong);
  for (FieldError& error : wrong) {
    errors.push_back({"/spec" + error.pointer, std::move(error.detail)});
  }
  if (wrong.empty()) patch["outputs"] = ToJson(spec).at("outputs");
  return patch;
}

struct RedriveOne {
  std::optional<int> generation;
  nlohmann::json patch;
};

RedriveOne ReadRedriveOne(const http::Request& request, const Presets& presets) {
  if (request.body.empty()) return {};
  const nlohmann::json body = ReadJsonBody(request);
  std::vector<FieldError> errors;
  Fields fields(body, "", errors);
  RedriveOne asked;
  if (const auto generation = fields.Integer("generation", 1, kMaxGeneration)) {
    asked.generation = static_cast<int>(*generation);
  }
  asked.patch = ReadPatch(fields, presets, errors);
  fields.RefuseOthers();
  if (!errors.empty()) throw Error(std::move(errors));
  return asked;
}

void Redrive(ApiContext& context, const http::ResponderPtr& responder, int generation,
             const nlohmann::json& patch) {
  context.broker.Call(
      message::Redrive{
          .job_id = DeadJobIdOf(responder->request()), .generation = generation, .patch = patch},
      Answering<message::JobReply>(responder, [](const http::Request&, message::JobReply reply) {
        http::Headers headers = {{"Location", JobPath(reply.job.at("id"))}};
        return JobResponse(202, std::move(reply.job), std::move(headers));
      }));
}

// Returns the generation of an open letter. Throws Error{kDeadLetterNotFound} for one that has left
// the queue: nothing tells whether the client asked for the redrive that took it out.
int OpenGenerationOf(const nlohmann::json& letter) {
  if (letter.at("state") != "open") {
    throw Error(ErrorCode::kDeadLetterNotFound,
                "the dead letter of job " + letter.at("job").get<std::string>() +
                    " has left the queue: " + letter.at("state").get<std::string>());
  }
  return letter.at("generation");
}

void RedriveJob(ApiContext& context, const http::Request& request,
                const http::ResponderPtr& responder) {
  RefuseQuery(request);
  const std::string& job_id = DeadJobIdOf(request);
  const RedriveOne asked = ReadRedriveOne(request, context.presets);
  if (asked.generation) {
    Redrive(context, responder, *asked.generation, asked.patch);
    return;
  }
  context.broker.Call(message::GetDeadLetter{{.job_id = job_id}},
                      [&context, responder, patch = asked.patch](const BrokerReply& reply) {
                        if (const auto* error = std::get_if<Error>(&reply)) {
                          responder->Send(ProblemResponse(*error));
                          return;
                        }
                        try {
                          const auto found =
                              ReadReply<message::DeadLetterReply>(std::get<nlohmann::json>(reply));
                          Redrive(context, responder, OpenGenerationOf(found.dead_letter), patch);
                        } catch (...) {
                          responder->Send(ProblemResponse(std::current_exception()));
                        }
                      });
}

nlohmann::json RedriveWithLinks(nlohmann::json redrive) {
  redrive["links"] = {{"self", "/v1/redrives/" + redrive.at("id").get<std::string>()}};
  return redrive;
}

message::RedriveMany ReadRedriveMany(const http::Request& request, const Presets& presets) {
  const std::optional<std::string> key = IdempotencyKeyOf(request);
  const nlohmann::json body = ReadJsonBody(request);
  std::vector<FieldError> errors;
  Fields fields(body, "", errors);
  message::RedriveMany asked;
  asked.filter = ReadRequiredFilter(fields, errors);
  asked.canary = fields.Boolean("canary").value_or(false);
  asked.dry_run = fields.Boolean("dry_run").value_or(false);
  asked.patch = ReadPatch(fields, presets, errors);
  fields.RefuseOthers();
  if (!errors.empty()) throw Error(std::move(errors));
  // A dry run under a key that was used already must count anew, not be answered from the ledger.
  asked.redrive_id =
      key && !asked.dry_run ? IdFromKey(kRedrivePrefix, *key) : NewId(kRedrivePrefix);
  return asked;
}

void RedriveJobs(ApiContext& context, const http::Request& request,
                 const http::ResponderPtr& responder) {
  RefuseQuery(request);
  const message::RedriveMany asked = ReadRedriveMany(request, context.presets);
  const auto answer = [dry_run = asked.dry_run](const http::Request&,
                                                message::RedriveManyReply reply) {
    if (dry_run) return JsonResponse(200, {{"count", reply.count}});
    http::Headers headers;
    if (!reply.redrive.is_null()) {
      reply.redrive = RedriveWithLinks(std::move(reply.redrive));
      headers.Set("Location", reply.redrive["links"]["self"]);
    }
    return JsonResponse(202, message::ToJson(reply), std::move(headers));
  };
  context.broker.CallPatiently(asked, kPatienceForMany,
                               Answering<message::RedriveManyReply>(responder, answer));
}

void ShowRedrive(ApiContext& context, const http::Request& request,
                 const http::ResponderPtr& responder) {
  RefuseQuery(request);
  const std::string& id = request.PathParameter("id");
  if (!IsId(id, kRedrivePrefix)) {
    throw Error(ErrorCode::kRedriveNotFound, "'" + id + "' is not the id of a redrive");
  }
  context.broker.Call(message::GetRedrive{.redrive_id = id},
                      Answering<message::GetRedriveReply>(
                          responder, [](const http::Request&, message::GetRedriveReply reply) {
                            return JsonResponse(200, RedriveWithLinks(std::move(reply.redrive)));
                          }));
}

}  // namespace

void AddRedriveRoutes(http::Router& router, ApiContext& context) {
  const auto add = [&](const char* method, const char* pattern, auto handle) {
    router.Add(
        method, pattern,
        [&context, handle](const http::Request& request, const http::ResponderPtr& responder) {
          handle(context, request, responder);
        });
  };
  add("POST", "/v1/dead-letters/{job}/redrive", RedriveJob);
  add("POST", "/v1/dead-letters/redrive", RedriveJobs);
  add("GET", "/v1/redrives/{id}", ShowRedrive);
}

}  // namespace millrace::api
