#include "core/model/messages/body.h"

#include <algorithm>

namespace millrace::message {
namespace {

constexpr size_t kMaxNameBytes = 256;
constexpr size_t kMaxTextBytes = 4096;
constexpr uint64_t kMaxSmall = 65'535;
constexpr uint64_t kMaxCount = uint64_t{1} << 53;
constexpr uint64_t kMaxTime = uint64_t{1} << 42;

bool IsTextOf(const nlohmann::json& value, size_t least, size_t most) {
  if (!value.is_string()) return false;
  const size_t bytes = value.get_ref<const std::string&>().size();
  return bytes >= least && bytes <= most;
}

bool IsName(const nlohmann::json& value) { return IsTextOf(value, 1, kMaxNameBytes); }

bool IsWholeUpTo(const nlohmann::json& value, uint64_t most) {
  if (!value.is_number_integer()) return false;
  // The parser keeps a number without a sign unsigned; any other is negative or made by hand.
  if (!value.is_number_unsigned() && value.get<int64_t>() < 0) return false;
  return value.get<uint64_t>() <= most;
}

bool IsFacts(const nlohmann::json& value) {
  const auto holds = [&value](const char* name, auto check) {
    const auto found = value.find(name);
    return found == value.end() || found->is_null() || check(*found);
  };
  const auto is_text = [](const auto& text) { return IsTextOf(text, 0, kMaxTextBytes); };
  const auto is_size = [](const auto& bytes) { return IsWholeUpTo(bytes, kMaxCount); };
  return value.is_object() && holds("name", is_text) && holds("bytes", is_size) &&
         holds("sha256", is_text);
}

bool Is(const nlohmann::json& value, Kind kind) {
  switch (kind) {
    case Kind::kJobId:
      return value.is_string() && IsId(value.get_ref<const std::string&>(), "job_");
    case Kind::kName:
      return IsName(value);
    case Kind::kText:
      return IsTextOf(value, 0, kMaxTextBytes);
    case Kind::kString:
      return value.is_string();
    case Kind::kFence:
      return IsWholeUpTo(value, INT64_MAX);
    case Kind::kSmall:
      return IsWholeUpTo(value, kMaxSmall);
    case Kind::kCount:
      return IsWholeUpTo(value, kMaxCount);
    case Kind::kTime:
      return IsWholeUpTo(value, kMaxTime);
    case Kind::kNumber:
      return value.is_number();
    case Kind::kFlag:
      return value.is_boolean();
    case Kind::kObject:
      return value.is_object();
    case Kind::kArray:
      return value.is_array();
    case Kind::kFacts:
      return IsFacts(value);
    case Kind::kTexts:
      return value.is_array() && std::ranges::all_of(value, IsName);
  }
  return false;
}

std::string_view Wanted(Kind kind) {
  switch (kind) {
    case Kind::kJobId:
      return "must be the id of a job";
    case Kind::kName:
      return "must be a text of 1 to 256 bytes";
    case Kind::kText:
      return "must be a text of at most 4096 bytes";
    case Kind::kString:
      return "must be a text";
    case Kind::kFence:
      return "must be a fence: a whole number, not negative";
    case Kind::kSmall:
      return "must be a whole number from 0 to 65535";
    case Kind::kCount:
      return "must be a whole number from 0 to 2^53";
    case Kind::kTime:
      return "must be milliseconds since 1970";
    case Kind::kNumber:
      return "must be a number";
    case Kind::kFlag:
      return "must be true or false";
    case Kind::kObject:
      return "must be an object";
    case Kind::kArray:
      return "must be a list";
    case Kind::kFacts:
      return "must be an object of name, bytes and sha256";
    case Kind::kTexts:
      return "must be a list of texts";
  }
  return "";
}

}  // namespace

std::string_view Complaint(const nlohmann::json& value, Kind kind) {
  return Is(value, kind) ? "" : Wanted(kind);
}

const nlohmann::json* FieldCheck::Find(std::string_view name, std::string_view missing) {
  if (failure_) return nullptr;
  const auto found = object_.find(name);
  if (found != object_.end() && !found->is_null()) return &*found;
  if (!missing.empty()) failure_ = {name, missing};
  return nullptr;
}

void FieldCheck::Look(std::string_view name, Kind kind, std::string_view missing) {
  const nlohmann::json* value = Find(name, missing);
  if (value == nullptr) return;
  const std::string_view complaint = Complaint(*value, kind);
  if (!complaint.empty()) failure_ = {name, complaint};
}

void Refuse(std::string_view type, const FieldCheck::Failure& failure) {
  throw Error(ErrorCode::kProtocolError, std::string(type) + ": the field '" +
                                             std::string(failure.field) + "' " +
                                             std::string(failure.why));
}

}  // namespace millrace::message
