#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <stdexcept>
#include <string>
#include <string_view>

namespace millrace {

// Names every way in which Millrace can fail. One table in error.cc says what follows from a code:
// the HTTP status, who is to blame, and whether another try can help.
enum class ErrorCode {
  // The request.
  kInvalidRequest,
  kUnknownPreset,
  kUploadNotFound,
  kJobNotFound,
  kOutputNotFound,
  kRouteNotFound,
  kMethodNotAllowed,
  kPayloadTooLarge,
  kUnsupportedMediaType,
  kPreconditionFailed,
  kRangeNotSatisfiable,
  kJobFinished,
  kIdempotencyConflict,
  kDeadLetterNotFound,
  kRedriveNotFound,
  // The media.
  kEmptyInput,
  kNotMedia,
  kUnsupportedFormat,
  kNoStreams,
  kNoMatchingStreams,
  kNoDecoder,
  kEncryptedInput,
  kCorruptMedia,
  kTruncatedOutput,
  kMediaLimitExceeded,
  // The process that ran the task.
  kEncoderCrashed,
  kOutOfMemory,
  kStalled,
  kPoison,
  // The encoder, for any other reason.
  kEncodeFailed,
  kEncoderUnavailable,
  // The worker and the way to it.
  kLeaseLost,
  kWorkerLost,
  kWorkerDraining,
  kWorkerDiskFull,
  // Storage.
  kInputUnreadable,
  kStorageError,
  kStorageFull,
  kLedgerCorrupt,
  // The service.
  kBrokerUnavailable,
  kQueueFull,
  kDraining,
  kNoWorker,
  kDeadlineExceeded,
  kProtocolError,
  kInternal,
};

// The party that has to act before another try can succeed.
enum class Blame { kMedia, kRequest, kWorker, kStorage, kService };

// Decides what happens to a task after a failure; docs/architecture.md, "Failure", has the table.
enum class RetryClass {
  kPermanent,       // dead at once
  kCrash,           // on another worker; two crashes on different workers are poison
  kTransient,       // with full jitter, up to the job's max_attempts
  kInfrastructure,  // requeued, costs the job no attempt, bounded by a ceiling of its own
  kUnknown,         // like transient, with at most three attempts
};

struct ErrorTraits {
  ErrorCode code;
  std::string_view name;  // stable, snake_case: what clients see as `code`
  int http_status;
  std::string_view title;  // one short sentence, the same for every occurrence
  Blame blame;
  RetryClass retry;
};

std::span<const ErrorTraits> AllErrorTraits();
const ErrorTraits& TraitsOf(ErrorCode code);
// Returns nullopt for a name that this build does not know.
std::optional<ErrorCode> ErrorCodeFromName(std::string_view name);
std::string_view NameOf(Blame blame);
std::string_view NameOf(RetryClass retry);

// One wrong field of a request; `pointer` is an RFC 6901 JSON pointer into the request's body.
struct FieldError {
  std::string pointer;
  std::string detail;
};

// The one exception type of Millrace. `what()` is the detail for people; `context` holds facts for
// logs and reports (a JSON object). Caught at the doors only: the HTTP route, the broker's
// per-message handler, the worker's and the encoder's per-task handler.
class Error : public std::runtime_error {
 public:
  explicit Error(ErrorCode code, const std::string& detail,
                 nlohmann::json context = nlohmann::json::object());
  // Refuses a request and names all of its wrong fields.
  explicit Error(std::vector<FieldError> fields);

  ErrorCode code() const { return code_; }
  const ErrorTraits& traits() const { return TraitsOf(code_); }
  const nlohmann::json& context() const { return context_; }
  const std::vector<FieldError>& fields() const { return fields_; }

 private:
  ErrorCode code_;
  nlohmann::json context_;
  std::vector<FieldError> fields_;
};

// {"code","detail","context"?,"errors"?}: the form of an error in message bodies, ledger rows and
// reports. ErrorFromJson accepts any JSON: it maps an unknown code to kInternal, keeps the code's
// name in the context, and leaves out members of a wrong type.
nlohmann::json ToJson(const Error& error);
Error ErrorFromJson(const nlohmann::json& json);

// The RFC 9457 problem object that clients see: type, title, status, detail, code, blame,
// retryable, and `errors` where fields are wrong.
nlohmann::json ProblemJson(const Error& error);

}  // namespace millrace
