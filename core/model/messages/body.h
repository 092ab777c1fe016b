#pragma once

#include <concepts>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/id.h"
#include "core/model/message.h"
#include "core/model/task.h"

// How the body of a message is declared, and what follows from that. A body is a struct that says
// each of its fields once:
//
//   struct GetJob {
//     static constexpr std::string_view kType = kGetJob;
//     std::string job_id;
//     static void Describe(auto& fields, auto& body) {
//       fields.Required("job_id", Kind::kJobId, body.job_id);
//     }
//   };
//
// Check(), Read() and Write() go through Describe() with a visitor each. A receiver ignores fields
// that a body does not declare, so bodies may gain fields.
namespace millrace::message {

// The type and the limits of a field's value.
enum class Kind {
  kJobId,
  kName,    // a text of 1 to 256 bytes
  kText,    // a text of at most 4096 bytes
  kString,  // a text of any length
  kFence,   // 0 to 2^63 - 1
  kSmall,   // 0 to 65535
  kCount,   // of bytes and other things: 0 to 2^53, beyond which JSON numbers are not exact
            // everywhere
  kTime,    // milliseconds since 1970, at most 2^42 (in 2109): nanoseconds of it fit 64 bits
  kNumber,
  kFlag,
  kObject,
  kArray,
  kFacts,  // of an input: {"name", "bytes", "sha256"}, each of which may be unknown
  kTexts,  // a list of texts of 1 to 256 bytes
};

// Returns what the value must be, e.g. "must be true or false", or an empty text if it is that.
std::string_view Complaint(const nlohmann::json& value, Kind kind);

// Notes the first field that is missing or wrong. Throws nothing.
class FieldCheck {
 public:
  struct Failure {
    std::string_view field;
    std::string_view why;
  };

  explicit FieldCheck(const nlohmann::json& object) : object_(object) {}

  void Required(std::string_view name, Kind kind, const auto&) { Look(name, kind, "is missing"); }
  // May be absent or null; which is how a null, an empty text and a nullopt are written.
  void Optional(std::string_view name, Kind kind, const auto&) { Look(name, kind, ""); }
  // The same, but a null is written as one.
  void Nullable(std::string_view name, Kind kind, const nlohmann::json&) { Look(name, kind, ""); }
  // A list of objects that are described in turn. `wanted` is the complaint about any other.
  template <typename Item>
  void List(std::string_view name, std::string_view wanted, const std::vector<Item>&) {
    const nlohmann::json* list = Find(name, "is missing");
    if (list == nullptr) return;
    bool good = list->is_array();
    for (auto item = list->begin(); good && item != list->end(); ++item) {
      FieldCheck check(*item);
      const Item empty{};
      if (item->is_object()) Item::Describe(check, empty);
      good = item->is_object() && !check.failure();
    }
    if (!good) failure_ = {name, wanted};
  }
  // The body is one JSON object that somebody else reads.
  void Whole(const nlohmann::json&) {}

  const std::optional<Failure>& failure() const { return failure_; }

 private:
  // Returns nullptr, with or without a failure, if there is nothing to look at. `missing`: the
  // complaint about an absent field, empty if it may be absent.
  const nlohmann::json* Find(std::string_view name, std::string_view missing);
  void Look(std::string_view name, Kind kind, std::string_view missing);

  const nlohmann::json& object_;
  std::optional<Failure> failure_;
};

// Moves the fields of a checked object into a body.
class FieldReader {
 public:
  explicit FieldReader(nlohmann::json& object) : object_(object) {}

  void Required(std::string_view name, Kind, auto& member) { ReadInto(name, member); }
  void Optional(std::string_view name, Kind, auto& member) { ReadInto(name, member); }
  void Nullable(std::string_view name, Kind, nlohmann::json& member) { ReadInto(name, member); }
  template <typename Item>
  void List(std::string_view name, std::string_view, std::vector<Item>& items) {
    for (nlohmann::json& from : object_[std::string(name)]) {
      FieldReader reader(from);
      Item::Describe(reader, items.emplace_back());
    }
  }
  void Whole(nlohmann::json& member) { member = std::move(object_); }

 private:
  template <typename Member>
  void ReadInto(std::string_view name, Member& member) {
    const auto found = object_.find(name);
    if (found != object_.end() && !found->is_null()) Take(*found, member);
  }
  template <typename Member>
  static void Take(nlohmann::json& from, Member& member) {
    from.get_to(member);
  }
  template <typename Member>
  static void Take(nlohmann::json& from, std::optional<Member>& member) {
    Take(from, member.emplace());
  }
  static void Take(nlohmann::json& from, std::string& member) {
    member = std::move(from.get_ref<std::string&>());
  }
  static void Take(nlohmann::json& from, nlohmann::json& member) { member = std::move(from); }
  static void Take(nlohmann::json& from, Progress& member) { member = ProgressFromJson(from); }

  nlohmann::json& object_;
};

// Writes a body as a JSON object.
class FieldWriter {
 public:
  void Required(std::string_view name, Kind, const auto& member) { Put(name, member); }
  void Optional(std::string_view name, Kind, const auto& member) {
    if (!IsAbsent(member)) Put(name, member);
  }
  void Nullable(std::string_view name, Kind, const nlohmann::json& member) { Put(name, member); }
  template <typename Item>
  void List(std::string_view name, std::string_view, const std::vector<Item>& items) {
    nlohmann::json list = nlohmann::json::array();
    for (const Item& item : items) {
      FieldWriter writer;
      Item::Describe(writer, item);
      list.push_back(std::move(writer).object());
    }
    Put(name, std::move(list));
  }
  void Whole(const nlohmann::json& member) { object_ = member; }

  nlohmann::json object() && { return std::move(object_); }

 private:
  static bool IsAbsent(const std::string& member) { return member.empty(); }
  static bool IsAbsent(const nlohmann::json& member) { return member.is_null(); }
  template <typename Member>
  static bool IsAbsent(const std::optional<Member>& member) {
    return !member.has_value();
  }
  template <typename Member>
  void Put(std::string_view name, Member&& member) {
    object_[std::string(name)] = std::forward<Member>(member);
  }
  template <typename Member>
  void Put(std::string_view name, const std::optional<Member>& member) {
    Put(name, *member);
  }
  void Put(std::string_view name, const Progress& member) {
    object_[std::string(name)] = millrace::ToJson(member);
  }

  nlohmann::json object_ = nlohmann::json::object();
};

template <typename T>
concept Body = requires(FieldWriter& writer, const T& body) {
  T::Describe(writer, body);
};
// A body that is the whole of a message, not a part of other bodies.
template <typename T>
concept WholeBody = Body<T> && requires {
  { T::kType } -> std::convertible_to<std::string_view>;
};

template <Body T>
nlohmann::json ToJson(const T& body) {
  FieldWriter writer;
  T::Describe(writer, body);
  return std::move(writer).object();
}

// Throws Error{kProtocolError}: "submit: the field 'job_id' is missing".
[[noreturn]] void Refuse(std::string_view type, const FieldCheck::Failure& failure);

// Throws Error{kProtocolError} naming `type` and the field unless the object has the fields of T.
template <Body T>
void Check(std::string_view type, const nlohmann::json& object) {
  FieldCheck check(object);
  const T empty{};
  T::Describe(check, empty);
  if (check.failure()) Refuse(type, *check.failure());
}

// Throws Error{kProtocolError} like Check(), and for progress that is none.
template <Body T>
T FromJson(std::string_view type, nlohmann::json object) {
  Check<T>(type, object);
  T body;
  FieldReader reader(object);
  T::Describe(reader, body);
  return body;
}

// REQUIRES: the body is an object, as DecodeMessage() sees to.
template <WholeBody T>
T Read(nlohmann::json body) {
  return FromJson<T>(T::kType, std::move(body));
}

template <WholeBody T>
Message Write(const T& body, std::string id = NewMessageId()) {
  return {.type = std::string(T::kType), .id = std::move(id), .body = ToJson(body)};
}

}  // namespace millrace::message
