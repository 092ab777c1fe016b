#include <optional>
#include <utility>

#include "api/reply/idempotency_key.h"
#include "api/reply/replies.h"
#include "api/reply/request_reader.h"
#include "api/routes/dead_letters.h"
#include "api/routes/routes.h"
#include "core/base/fields.h"
#include "core/base/id.h"
#include "core/model/messages/client.h"
#include "core/model/messages/client_replies.h"

// Dead letters that are thrown away: one, or all that a filter finds.

namespace millrace::api {
namespace {

constexpr std::string_view kPurgePrefix = "prg_";
// Beyond it JSON numbers are not exact everywhere.
constexpr int64_t kMaxExpected = int64_t{1} << 53;

void PurgeLetter(ApiContext& context, const http::Request& request,
                 const http::ResponderPtr& responder) {
  RefuseQuery(request);
  if (!request.body.empty()) throw Error(ErrorCode::kInvalidRequest, "purging takes no body");
  context.broker.Call(message::Purge{{.job_id = DeadJobIdOf(request)}},
                      Answering(responder, [](const http::Request&, const nlohmann::json&) {
                        return http::Response{.status = 204};
                      }));
}

message::PurgeMany ReadPurgeMany(const http::Request& request) {
  const std::optional<std::string> key = IdempotencyKeyOf(request);
  const nlohmann::json body = ReadJsonBody(request);
  std::vector<FieldError> errors;
  Fields fields(body, "", errors);
  message::PurgeMany asked;
  asked.filter = ReadRequiredFilter(fields, errors);
  asked.dry_run = fields.Boolean("dry_run").value_or(false);
  asked.expected = fields.Integer("expected", 0, kMaxExpected);
  if (!asked.dry_run && !asked.expected && fields.Raw("expected") == nullptr) {
    fields.Fail("expected", "is required: the count that a dry run answers");
  }
  fields.RefuseOthers();
  if (!errors.empty()) throw Error(std::move(errors));
  // A dry run under a key that was used already must count anew, not be answered from the ledger.
  asked.purge_id = key && !asked.dry_run ? IdFromKey(kPurgePrefix, *key) : NewId(kPurgePrefix);
  return asked;
}

void PurgeLetters(ApiContext& context, const http::Request& request,
                  const http::ResponderPtr& responder) {
  RefuseQuery(request);
  const message::PurgeMany asked = ReadPurgeMany(request);
  const auto answer = [expected = asked.expected](const http::Request&,
                                                  const message::PurgeManyReply& reply) {
    // The broker has compared the two unless it was only asked for the count.
    if (expected && reply.count != *expected) {
      throw Error(ErrorCode::kPreconditionFailed, std::to_string(reply.count) +
                                                      " dead letters would be purged, not " +
                                                      std::to_string(*expected));
    }
    return JsonResponse(200, message::ToJson(reply));
  };
  context.broker.CallPatiently(asked, kPatienceForMany,
                               Answering<message::PurgeManyReply>(responder, answer));
}

}  // namespace

void AddPurgeRoutes(http::Router& router, ApiContext& context) {
  const auto add = [&](const char* method, const char* pattern, auto handle) {
    router.Add(
        method, pattern,
        [&context, handle](const http::Request& request, const http::ResponderPtr& responder) {
          handle(context, request, responder);
        });
  };
  add("DELETE", "/v1/dead-letters/{job}", PurgeLetter);
  add("POST", "/v1/dead-letters/purge", PurgeLetters);
}

}  // namespace millrace::api
