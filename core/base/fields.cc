#include "core/base/fields.h"

#include <algorithm>
#include <cmath>

namespace millrace {
namespace {

const nlohmann::json kEmptyObject = nlohmann::json::object();

std::string Shorten(double number) {
  nlohmann::json json = number == std::floor(number) && std::abs(number) < 1e15
                            ? nlohmann::json(static_cast<int64_t>(number))
                            : nlohmann::json(number);
  return json.dump();
}

}  // namespace

Fields::Fields(const nlohmann::json& object, std::string pointer, std::vector<FieldError>& errors)
    : object_(&object), pointer_(std::move(pointer)), errors_(errors) {
  if (!object.is_object()) {
    errors_.push_back({pointer_, "must be an object"});
    object_ = &kEmptyObject;
  }
}

const nlohmann::json* Fields::Raw(std::string_view key) {
  asked_.emplace_back(key);
  const auto found = object_->find(key);
  if (found == object_->end() || found->is_null()) return nullptr;
  return &*found;
}

std::optional<std::string> Fields::String(std::string_view key, size_t max_length) {
  const nlohmann::json* value = Raw(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_string()) {
    Fail(key, "must be a string");
    return std::nullopt;
  }
  const auto& text = value->get_ref<const std::string&>();
  if (text.empty() || text.size() > max_length) {
    Fail(key, "must have 1 to " + std::to_string(max_length) + " bytes");
    return std::nullopt;
  }
  return text;
}

std::optional<int64_t> Fields::Integer(std::string_view key, int64_t low, int64_t high) {
  const nlohmann::json* value = Raw(key);
  if (value == nullptr) return std::nullopt;
  const std::string wanted =
      "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high);
  if (!value->is_number_integer() ||
      (value->is_number_unsigned() && value->get<uint64_t>() > static_cast<uint64_t>(INT64_MAX)) ||
      value->get<int64_t>() < low || value->get<int64_t>() > high) {
    Fail(key, wanted);
    return std::nullopt;
  }
  return value->get<int64_t>();
}

std::optional<double> Fields::Number(std::string_view key, double low, double high) {
  const nlohmann::json* value = Raw(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_number() || !(value->get<double>() >= low && value->get<double>() <= high)) {
    Fail(key, "must be a number from " + Shorten(low) + " to " + Shorten(high));
    return std::nullopt;
  }
  return value->get<double>();
}

std::optional<bool> Fields::Boolean(std::string_view key) {
  const nlohmann::json* value = Raw(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_boolean()) {
    Fail(key, "must be true or false");
    return std::nullopt;
  }
  return value->get<bool>();
}

void Fields::Fail(std::string_view key, std::string detail) {
  // The constructor has reported this already; unknown members are no news.
  if (object_ == &kEmptyObject) return;
  errors_.push_back({PointerTo(key), std::move(detail)});
}

std::string Fields::PointerTo(std::string_view key) const {
  std::string pointer = pointer_ + "/";
  for (const char c : key) {  // RFC 6901, section 3
    if (c == '~') {
      pointer += "~0";
    } else if (c == '/') {
      pointer += "~1";
    } else {
      pointer += c;
    }
  }
  return pointer;
}

void Fields::RefuseOthers() {
  for (const auto& [key, value] : object_->items()) {
    if (std::ranges::find(asked_, key) == asked_.end()) Fail(key, "unknown field");
  }
}

}  // namespace millrace
