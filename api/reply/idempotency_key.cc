#include "api/reply/idempotency_key.h"

#include <algorithm>
#include <cmath>

#include "core/base/error.h"
#include "core/base/sha256.h"

namespace millrace::api {
namespace {

constexpr size_t kMaxKeyBytes = 255;
constexpr size_t kIdHexDigits = 32;
// Beyond it doubles leave out whole numbers.
constexpr double kMaxExactWhole = 9007199254740992.0;

[[noreturn]] void Refuse(const std::string& why) {
  throw Error(ErrorCode::kInvalidRequest, "the header field Idempotency-Key " + why);
}

// The text within a string of structured fields. REQUIRES: `field` begins with a quote.
std::string Unquoted(std::string_view field) {
  std::string text;
  for (size_t i = 1; i < field.size(); ++i) {
    if (field[i] == '"') {
      if (i + 1 != field.size()) Refuse("has something behind its closing quote");
      return text;
    }
    if (field[i] == '\\') {
      ++i;
      if (i == field.size() || (field[i] != '"' && field[i] != '\\')) {
        Refuse("escapes something else than a quote or a backslash");
      }
    }
    text += field[i];
  }
  Refuse("has no closing quote");
}

// 2.0 and 2e0 are the number 2.
nlohmann::json Canonical(const nlohmann::json& json) {
  if (json.is_structured()) {
    nlohmann::json canonical = json;
    for (nlohmann::json& item : canonical) item = Canonical(item);
    return canonical;
  }
  if (json.is_number_float()) {
    const auto number = json.get<double>();
    if (std::trunc(number) == number && std::abs(number) <= kMaxExactWhole) {
      return static_cast<int64_t>(number);
    }
  }
  return json;
}

std::string Sha256Of(std::string_view text) {
  Sha256 hash;
  hash.Add(text);
  return hash.Finish();
}

}  // namespace

std::optional<std::string> IdempotencyKeyOf(const http::Request& request) {
  const auto fields = request.headers.All("Idempotency-Key");
  if (fields.empty()) return std::nullopt;
  if (fields.size() > 1) Refuse("is given more than once");
  const std::string_view field = http::TrimmedOws(fields.front());
  std::string key = field.starts_with('"') ? Unquoted(field) : std::string(field);
  const bool visible = std::ranges::all_of(key, [](char c) { return c > 0x20 && c < 0x7f; });
  if (key.empty() || key.size() > kMaxKeyBytes || !visible) {
    Refuse("must have 1 to " + std::to_string(kMaxKeyBytes) + " visible ASCII characters");
  }
  return key;
}

std::string FingerprintOf(const nlohmann::json& body) {
  // Members of an object are kept, and so printed, in the order of their names.
  return Sha256Of(Canonical(body).dump());
}

std::string IdFromKey(std::string_view prefix, std::string_view key) {
  const std::string text = std::string(prefix) + std::string(key);
  return std::string(prefix) + Sha256Of(text).substr(0, kIdHexDigits);
}

}  // namespace millrace::api
