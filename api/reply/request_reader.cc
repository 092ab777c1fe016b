#include "api/reply/request_reader.h"

#include <algorithm>
#include <charconv>

#include "core/base/clock.h"
#include "core/base/json_depth.h"

namespace millrace::api {
namespace {

// More levels than any request needs; a deeper body would exhaust the stack of code that walks it.
constexpr int kMaxJsonDepth = 64;

bool IsJsonType(std::string_view content_type) {
  const std::string_view type = http::TrimmedOws(
      content_type.substr(0, std::min(content_type.find(';'), content_type.size())));
  return http::EqualsIgnoringCase(type, "application/json");
}

// "[json.exception.parse_error.101] parse error at line 1, column 2: …" -> "line 1, column 2: …"
std::string WhereItFailed(const nlohmann::json::parse_error& error) {
  const std::string_view text = error.what();
  constexpr std::string_view kBefore = "parse error at ";
  const size_t at = text.find(kBefore);
  return std::string(at == std::string_view::npos ? text : text.substr(at + kBefore.size()));
}

}  // namespace

nlohmann::json ReadJsonBody(const http::Request& request) {
  const auto type = request.headers.Find("Content-Type");
  if (!type || !IsJsonType(*type)) {
    throw Error(ErrorCode::kUnsupportedMediaType,
                "this call takes a JSON object: send it with Content-Type: application/json");
  }
  if (JsonDepth(request.body) > kMaxJsonDepth) {
    throw Error(ErrorCode::kInvalidRequest,
                "the JSON is nested deeper than " + std::to_string(kMaxJsonDepth) + " levels");
  }
  try {
    return nlohmann::json::parse(request.body);
  } catch (const nlohmann::json::parse_error& error) {
    throw Error(ErrorCode::kInvalidRequest, "the body is not JSON: " + WhereItFailed(error));
  }
}

QueryReader::QueryReader(const http::Request& request,
                         std::initializer_list<std::string_view> known)
    : request_(request) {
  for (const auto& [name, value] : request.query.pairs()) {
    if (std::ranges::find(known, name) == known.end()) Fail(name, "unknown parameter");
  }
}

std::optional<std::string> QueryReader::One(std::string_view name) {
  const auto values = request_.query.All(name);
  if (values.empty()) return std::nullopt;
  if (values.size() > 1) Fail(name, "is given more than once");
  return std::string(values.front());
}

std::optional<int64_t> QueryReader::Integer(std::string_view name, int64_t low, int64_t high) {
  const auto text = One(name);
  if (!text) return std::nullopt;
  int64_t value = 0;
  const auto [end, error] = std::from_chars(text->data(), text->data() + text->size(), value);
  if (error != std::errc() || end != text->data() + text->size() || value < low || value > high) {
    Fail(name,
         "must be a whole number from " + std::to_string(low) + " to " + std::to_string(high));
    return std::nullopt;
  }
  return value;
}

std::optional<std::string> QueryReader::Time(std::string_view name) {
  const auto text = One(name);
  if (!text) return std::nullopt;
  try {
    ParseTime(*text);
    return text;
  } catch (const Error& error) {
    Fail(name, error.what());
    return std::nullopt;
  }
}

std::vector<std::string> QueryReader::List(std::string_view name) {
  std::vector<std::string> items;
  for (std::string_view value : request_.query.All(name)) {
    while (true) {
      const size_t comma = std::min(value.find(','), value.size());
      items.emplace_back(value.substr(0, comma));
      if (comma == value.size()) break;
      value.remove_prefix(comma + 1);
    }
  }
  return items;
}

std::vector<std::string> QueryReader::Each(std::string_view name) {
  const auto values = request_.query.All(name);
  return {values.begin(), values.end()};
}

void QueryReader::Fail(std::string_view name, std::string detail) {
  errors_.push_back({"/" + std::string(name), std::move(detail)});
}

void QueryReader::ThrowIfWrong() {
  if (!errors_.empty()) throw Error(std::move(errors_));
}

void RefuseQuery(const http::Request& request) { QueryReader(request, {}).ThrowIfWrong(); }

}  // namespace millrace::api
