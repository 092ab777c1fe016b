#include "broker/io/message_shape.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "core/base/id.h"

namespace millrace::broker {
namespace {

enum class Kind {
  kJobId,
  kName,  // 1 to 256 bytes
  kText,  // at most 4096 bytes
  kFence,
  kSmall,  // 0 to 65535
  kBytes,  // also of other counts: 0 to 2^53, beyond which JSON numbers are not exact everywhere
  kTime,   // milliseconds since 1970, at most 2^42 (in 2109): nanoseconds of it fit 64 bits
  kFlag,
  kObject,
  kFacts,  // of an input: {"name", "bytes", "sha256"}, each of which may be unknown
  kTexts,
  kRunning,   // [{"task", "fence", "progress"?}]
  kProgress,  // [{"task", "fence", "progress"}]
};

struct FieldShape {
  std::string_view name;
  Kind kind;
  bool required = true;
};

struct MessageShape {
  std::string_view type;
  std::span<const FieldShape> fields;
};

constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxTextBytes = 4096;
constexpr uint64_t kMaxSmall = 65'535;
constexpr uint64_t kMaxBytes = uint64_t{1} << 53;
constexpr uint64_t kMaxTime = uint64_t{1} << 42;

constexpr FieldShape kDeadline{"deadline_unix_ms", Kind::kTime};

constexpr auto kJob = std::to_array<FieldShape>({{"job_id", Kind::kJobId}});
constexpr auto kEvents = std::to_array<FieldShape>(
    {{"job_id", Kind::kJobId}, {"after", Kind::kBytes}, {"limit", Kind::kSmall}});
constexpr std::span<const FieldShape> kNothing;
constexpr auto kSubmit = std::to_array<FieldShape>({{"job_id", Kind::kJobId},
                                                    {"request", Kind::kObject},
                                                    {"input_facts", Kind::kFacts},
                                                    kDeadline,
                                                    {"idempotency_key", Kind::kName, false},
                                                    {"fingerprint", Kind::kName, false}});
constexpr auto kProbe =
    std::to_array<FieldShape>({{"input", Kind::kObject}, {"input_name", Kind::kText}, kDeadline});

constexpr FieldShape kFilter{"filter", Kind::kObject};
constexpr FieldShape kDryRun{"dry_run", Kind::kFlag};
constexpr FieldShape kPatch{"patch", Kind::kObject, false};
constexpr auto kRedrive =
    std::to_array<FieldShape>({{"job_id", Kind::kJobId}, {"generation", Kind::kSmall}, kPatch});
constexpr auto kRedriveMany = std::to_array<FieldShape>(
    {{"redrive_id", Kind::kName}, kFilter, {"canary", Kind::kFlag}, kDryRun, kPatch});
constexpr auto kGetRedrive = std::to_array<FieldShape>({{"redrive_id", Kind::kName}});
constexpr auto kPurgeMany = std::to_array<FieldShape>(
    {{"purge_id", Kind::kName}, kFilter, kDryRun, {"expected", Kind::kBytes, false}});

constexpr auto kClientMessages =
    std::to_array<MessageShape>({{message::kSubmit, kSubmit},
                                 {message::kGetJob, kJob},
                                 {message::kListJobs, kNothing},
                                 {message::kCancel, kJob},
                                 {message::kAttempts, kJob},
                                 {message::kEvents, kEvents},
                                 {message::kProbe, kProbe},
                                 {message::kQueue, kNothing},
                                 {message::kWorkers, kNothing},
                                 {message::kPing, kNothing},
                                 {message::kDeadLetters, kNothing},
                                 {message::kDeadLetterGroups, kNothing},
                                 {message::kGetDeadLetter, kJob},
                                 {message::kRedrive, kRedrive},
                                 {message::kRedriveMany, kRedriveMany},
                                 {message::kGetRedrive, kGetRedrive},
                                 {message::kPurge, kJob},
                                 {message::kPurgeMany, kPurgeMany}});

constexpr FieldShape kInstance{"instance", Kind::kName};
constexpr FieldShape kTask{"task", Kind::kName};
constexpr FieldShape kFence{"fence", Kind::kFence};

constexpr auto kRegister = std::to_array<FieldShape>({kInstance,
                                                      {"name", Kind::kName},
                                                      {"slots", Kind::kSmall},
                                                      {"probe_slots", Kind::kSmall},
                                                      {"encoders", Kind::kTexts},
                                                      {"cores", Kind::kSmall},
                                                      {"memory_bytes", Kind::kBytes},
                                                      {"labels", Kind::kObject},
                                                      {"versions", Kind::kObject},
                                                      {"running", Kind::kRunning}});
constexpr auto kBeat =
    std::to_array<FieldShape>({kInstance, {"draining", Kind::kFlag}, {"tasks", Kind::kProgress}});
constexpr auto kStarted = std::to_array<FieldShape>({kInstance, kTask, kFence});
constexpr auto kFinished = std::to_array<FieldShape>(
    {kInstance, kTask, kFence, {"manifest", Kind::kObject}, {"usage", Kind::kObject}});
constexpr auto kFailed = std::to_array<FieldShape>(
    {kInstance, kTask, kFence, {"failure", Kind::kObject}, {"media", Kind::kObject, false}});
constexpr auto kReleased =
    std::to_array<FieldShape>({kInstance, kTask, kFence, {"reason", Kind::kName}});
constexpr auto kProbed = std::to_array<FieldShape>({kInstance,
                                                    {"probe", Kind::kName},
                                                    {"media", Kind::kObject, false},
                                                    {"error", Kind::kObject, false}});
constexpr auto kGoodbye = std::to_array<FieldShape>({kInstance});

constexpr auto kWorkerMessages = std::to_array<MessageShape>({{message::kRegister, kRegister},
                                                              {message::kBeat, kBeat},
                                                              {message::kStarted, kStarted},
                                                              {message::kFinished, kFinished},
                                                              {message::kFailed, kFailed},
                                                              {message::kReleased, kReleased},
                                                              {message::kProbed, kProbed},
                                                              {message::kGoodbye, kGoodbye}});

bool IsTextOf(const nlohmann::json& value, size_t least, size_t most) {
  if (!value.is_string()) return false;
  const size_t bytes = value.get_ref<const std::string&>().size();
  return bytes >= least && bytes <= most;
}

bool IsWholeUpTo(const nlohmann::json& value, uint64_t most) {
  if (!value.is_number_integer()) return false;
  // What was parsed without a sign is kept unsigned, the rest is negative or was made by hand.
  if (!value.is_number_unsigned() && value.get<int64_t>() < 0) return false;
  return value.get<uint64_t>() <= most;
}

bool IsFence(const nlohmann::json& value) { return IsWholeUpTo(value, INT64_MAX); }

bool IsFacts(const nlohmann::json& value) {
  const auto holds = [&value](const char* name, auto check) {
    const auto found = value.find(name);
    return found == value.end() || found->is_null() || check(*found);
  };
  const auto is_text = [](const auto& text) { return IsTextOf(text, 0, kMaxTextBytes); };
  const auto is_size = [](const auto& bytes) { return IsWholeUpTo(bytes, kMaxBytes); };
  return value.is_object() && holds("name", is_text) && holds("bytes", is_size) &&
         holds("sha256", is_text);
}

bool IsLease(const nlohmann::json& value) {
  return value.is_object() && value.contains("task") && value.contains("fence") &&
         IsTextOf(value["task"], 1, kMaxNameBytes) && IsFence(value["fence"]);
}

bool IsRunning(const nlohmann::json& value) {
  return IsLease(value) && (!value.contains("progress") || value["progress"].is_object());
}

bool IsProgress(const nlohmann::json& value) {
  return IsLease(value) && value.contains("progress") && value["progress"].is_object() &&
         (!value.contains("media") || value["media"].is_object() || value["media"].is_null());
}

template <typename Check>
bool IsArrayOf(const nlohmann::json& value, Check check) {
  return value.is_array() && std::ranges::all_of(value, check);
}

// Returns what the field must be, or an empty text if it is that.
std::string_view Wanted(const nlohmann::json& value, Kind kind) {
  switch (kind) {
    case Kind::kJobId:
      return value.is_string() && IsId(value.get_ref<const std::string&>(), "job_")
                 ? ""
                 : "must be the id of a job";
    case Kind::kName:
      return IsTextOf(value, 1, kMaxNameBytes) ? "" : "must be a text of 1 to 256 bytes";
    case Kind::kText:
      return IsTextOf(value, 0, kMaxTextBytes) ? "" : "must be a text of at most 4096 bytes";
    case Kind::kFence:
      return IsFence(value) ? "" : "must be a fence: a whole number, not negative";
    case Kind::kSmall:
      return IsWholeUpTo(value, kMaxSmall) ? "" : "must be a whole number from 0 to 65535";
    case Kind::kBytes:
      return IsWholeUpTo(value, kMaxBytes) ? "" : "must be a whole number from 0 to 2^53";
    case Kind::kTime:
      return IsWholeUpTo(value, kMaxTime) ? "" : "must be milliseconds since 1970";
    case Kind::kFlag:
      return value.is_boolean() ? "" : "must be true or false";
    case Kind::kObject:
      return value.is_object() ? "" : "must be an object";
    case Kind::kFacts:
      return IsFacts(value) ? "" : "must be an object of name, bytes and sha256";
    case Kind::kTexts:
      return IsArrayOf(value, [](const auto& item) { return IsTextOf(item, 1, kMaxNameBytes); })
                 ? ""
                 : "must be a list of texts";
    case Kind::kRunning:
      return IsArrayOf(value, IsRunning)
                 ? ""
                 : "must be a list of objects with task and fence, and progress or not";
    case Kind::kProgress:
      return IsArrayOf(value, IsProgress)
                 ? ""
                 : "must be a list of objects with task, fence and progress";
  }
  return "";
}

[[noreturn]] void Refuse(const Message& message, const FieldShape& field, std::string_view why) {
  throw Error(ErrorCode::kProtocolError,
              message.type + ": the field '" + std::string(field.name) + "' " + std::string(why));
}

void Check(const Message& message, std::span<const MessageShape> shapes) {
  const auto shape = std::ranges::find(shapes, message.type, &MessageShape::type);
  if (shape == shapes.end()) {
    throw Error(ErrorCode::kProtocolError, "there is no message of type '" + message.type + "'");
  }
  for (const FieldShape& field : shape->fields) {
    const auto value = message.body.find(field.name);
    if (value == message.body.end() || value->is_null()) {
      if (field.required) Refuse(message, field, "is missing");
      continue;
    }
    const std::string_view wanted = Wanted(*value, field.kind);
    if (!wanted.empty()) Refuse(message, field, wanted);
  }
}

}  // namespace

void CheckClientMessage(const Message& message) { Check(message, kClientMessages); }

void CheckWorkerMessage(const Message& message) { Check(message, kWorkerMessages); }

}  // namespace millrace::broker
