#include "core/base/error.h"

#include <algorithm>
#include <array>

namespace millrace {
namespace {

using enum ErrorCode;
using enum Blame;
using enum RetryClass;

constexpr auto kTraits = std::to_array<ErrorTraits>({
    {kInvalidRequest, "invalid_request", 400, "The request is not valid", kRequest, kPermanent},
    {kUnknownPreset, "unknown_preset", 404, "There is no such preset", kRequest, kPermanent},
    {kUploadNotFound, "upload_not_found", 404, "There is no such upload", kRequest, kPermanent},
    {kJobNotFound, "job_not_found", 404, "There is no such job", kRequest, kPermanent},
    {kOutputNotFound, "output_not_found", 404, "There is no such output", kRequest, kPermanent},
    {kRouteNotFound, "not_found", 404, "There is nothing here", kRequest, kPermanent},
    {kMethodNotAllowed, "method_not_allowed", 405, "This method is not allowed here", kRequest,
     kPermanent},
    {kPayloadTooLarge, "payload_too_large", 413, "The body is too large", kRequest, kPermanent},
    {kUnsupportedMediaType, "unsupported_media_type", 415, "This content type is not accepted",
     kRequest, kPermanent},
    {kPreconditionFailed, "precondition_failed", 412, "A precondition of the request failed",
     kRequest, kPermanent},
    {kRangeNotSatisfiable, "range_not_satisfiable", 416, "The range lies outside the file",
     kRequest, kPermanent},
    {kJobFinished, "job_finished", 409, "The job has already ended", kRequest, kPermanent},
    {kIdempotencyConflict, "idempotency_conflict", 422,
     "The idempotency key was used for another request", kRequest, kPermanent},
    {kDeadLetterNotFound, "dead_letter_not_found", 404, "There is no such dead letter", kRequest,
     kPermanent},
    {kRedriveNotFound, "redrive_not_found", 404, "There is no such redrive", kRequest, kPermanent},

    {kEmptyInput, "empty_input", 422, "The input has no bytes", kMedia, kPermanent},
    {kNotMedia, "not_media", 422, "The input is not media that can be read", kMedia, kPermanent},
    {kUnsupportedFormat, "unsupported_format", 422, "This container format is not accepted", kMedia,
     kPermanent},
    {kNoStreams, "no_streams", 422, "The input has neither picture nor sound", kMedia, kPermanent},
    {kNoMatchingStreams, "no_matching_streams", 422, "No output can be made from these streams",
     kMedia, kPermanent},
    {kNoDecoder, "no_decoder", 422, "There is no decoder for this codec", kMedia, kPermanent},
    {kEncryptedInput, "encrypted_input", 422, "The input is encrypted", kMedia, kPermanent},
    {kCorruptMedia, "corrupt_media", 422, "The input is damaged", kMedia, kPermanent},
    {kTruncatedOutput, "truncated_output", 500, "The output lacks what was planned", kMedia,
     kUnknown},
    {kMediaLimitExceeded, "media_limit_exceeded", 422, "The input exceeds a limit", kMedia,
     kPermanent},

    {kEncoderCrashed, "encoder_crashed", 500, "The encoder crashed", kMedia, kCrash},
    {kOutOfMemory, "out_of_memory", 500, "The encoder ran out of memory", kMedia, kCrash},
    {kStalled, "stalled", 500, "The encoder made no progress", kMedia, kCrash},
    {kPoison, "poison", 422, "The input crashed encoders on different workers", kMedia, kPermanent},

    {kEncodeFailed, "encode_failed", 500, "The encode failed", kMedia, kUnknown},
    {kEncoderUnavailable, "encoder_unavailable", 500, "The worker cannot open this encoder",
     kWorker, kTransient},

    {kLeaseLost, "lease_lost", 409, "The lease is no longer held", kWorker, kInfrastructure},
    {kWorkerLost, "worker_lost", 503, "The worker disappeared", kWorker, kInfrastructure},
    {kWorkerDraining, "worker_draining", 503, "The worker is shutting down", kWorker,
     kInfrastructure},
    {kWorkerDiskFull, "worker_disk_full", 503, "The disk of the worker is full", kWorker,
     kInfrastructure},

    {kInputUnreadable, "input_unreadable", 503, "The input cannot be read", kStorage, kTransient},
    {kStorageError, "storage_error", 503, "Storage failed", kStorage, kTransient},
    {kStorageFull, "storage_full", 503, "Storage is full", kStorage, kInfrastructure},
    {kLedgerCorrupt, "ledger_corrupt", 500, "The ledger is damaged", kStorage, kPermanent},

    {kBrokerUnavailable, "broker_unavailable", 503, "The broker does not answer", kService,
     kTransient},
    {kQueueFull, "queue_full", 503, "The queue is full", kService, kTransient},
    {kDraining, "draining", 503, "The service is shutting down", kService, kTransient},
    {kNoWorker, "no_worker", 503, "No worker can take this", kService, kTransient},
    {kDeadlineExceeded, "deadline_exceeded", 504, "It took too long", kService, kTransient},
    {kProtocolError, "protocol_error", 400, "The message is malformed", kService, kPermanent},
    {kInternal, "internal", 500, "Something went wrong inside Millrace", kService, kUnknown},
});

std::string JoinFields(const std::vector<FieldError>& fields) {
  std::string joined;
  for (const FieldError& field : fields) {
    if (!joined.empty()) joined += "; ";
    joined += (field.pointer.empty() ? std::string("/") : field.pointer) + ": " + field.detail;
  }
  return joined;
}

nlohmann::json FieldsJson(const std::vector<FieldError>& fields) {
  nlohmann::json errors = nlohmann::json::array();
  for (const FieldError& field : fields) {
    errors.push_back({{"pointer", field.pointer}, {"detail", field.detail}});
  }
  return errors;
}

// Returns the member if it is text, else `otherwise`: another program's JSON may have any shape.
std::string TextOf(const nlohmann::json& json, const char* key, const char* otherwise) {
  if (!json.is_object()) return otherwise;
  const auto found = json.find(key);
  return found != json.end() && found->is_string() ? found->get<std::string>() : otherwise;
}

}  // namespace

std::span<const ErrorTraits> AllErrorTraits() { return kTraits; }

const ErrorTraits& TraitsOf(ErrorCode code) {
  // The table is in the order of the enumeration; a test walks it.
  return kTraits.at(static_cast<size_t>(code));
}

std::optional<ErrorCode> ErrorCodeFromName(std::string_view name) {
  const auto* found = std::ranges::find(kTraits, name, &ErrorTraits::name);
  if (found == kTraits.end()) return std::nullopt;
  return found->code;
}

std::string_view NameOf(Blame blame) {
  switch (blame) {
    case kMedia:
      return "media";
    case kRequest:
      return "request";
    case kWorker:
      return "worker";
    case kStorage:
      return "storage";
    case kService:
      return "service";
  }
  return "service";
}

std::string_view NameOf(RetryClass retry) {
  switch (retry) {
    case kPermanent:
      return "permanent";
    case kCrash:
      return "crash";
    case kTransient:
      return "transient";
    case kInfrastructure:
      return "infrastructure";
    case kUnknown:
      return "unknown";
  }
  return "unknown";
}

Error::Error(ErrorCode code, const std::string& detail, nlohmann::json context)
    : std::runtime_error(detail), code_(code), context_(std::move(context)) {}

Error::Error(std::vector<FieldError> fields)
    : std::runtime_error(JoinFields(fields)),
      code_(ErrorCode::kInvalidRequest),
      context_(nlohmann::json::object()),
      fields_(std::move(fields)) {}

nlohmann::json ToJson(const Error& error) {
  nlohmann::json json = {{"code", error.traits().name}, {"detail", error.what()}};
  if (!error.context().empty()) json["context"] = error.context();
  if (!error.fields().empty()) json["errors"] = FieldsJson(error.fields());
  return json;
}

Error ErrorFromJson(const nlohmann::json& json) {
  const std::string name = TextOf(json, "code", "internal");
  const std::string detail = TextOf(json, "detail", "");
  nlohmann::json context = nlohmann::json::object();
  if (json.is_object() && json.contains("context") && json["context"].is_object()) {
    context = json["context"];
  }
  const std::optional<ErrorCode> code = ErrorCodeFromName(name);
  if (!code) context["code"] = name;
  if (code == ErrorCode::kInvalidRequest && json.contains("errors")) {
    std::vector<FieldError> fields;
    for (const nlohmann::json& field : json["errors"]) {
      fields.push_back({TextOf(field, "pointer", ""), TextOf(field, "detail", "")});
    }
    return Error(std::move(fields));
  }
  return Error(code.value_or(ErrorCode::kInternal), detail, std::move(context));
}

nlohmann::json ProblemJson(const Error& error) {
  const ErrorTraits& traits = error.traits();
  nlohmann::json problem = {
      {"type", "urn:millrace:problem:" + std::string(traits.name)},
      {"title", traits.title},
      {"status", traits.http_status},
      {"detail", error.what()},
      {"code", traits.name},
      {"blame", NameOf(traits.blame)},
      {"retryable", traits.retry != RetryClass::kPermanent},
  };
  if (!error.fields().empty()) problem["errors"] = FieldsJson(error.fields());
  return problem;
}

}  // namespace millrace
