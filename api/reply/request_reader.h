#pragma once

#include <cstdint>
#include <initializer_list>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http_server/message.h"
#include "core/base/error.h"

namespace millrace::api {

// Reads the JSON body of a request. Throws Error{kUnsupportedMediaType} for another Content-Type
// and Error{kInvalidRequest} for what is not JSON, saying where, or is nested too deeply.
nlohmann::json ReadJsonBody(const http::Request& request);

// Reads the parameters behind the question mark and collects everything that is wrong with them. A
// parameter is named in errors like a member of an object: "/page_size". Lives on the stack.
class QueryReader {
 public:
  // Records an error for each parameter that is not among `known`.
  QueryReader(const http::Request& request, std::initializer_list<std::string_view> known);

  // The value of a parameter that may stand once.
  std::optional<std::string> One(std::string_view name);
  std::optional<int64_t> Integer(std::string_view name, int64_t low, int64_t high);
  // An RFC 3339 time in UTC, as given.
  std::optional<std::string> Time(std::string_view name);
  // All values of a parameter that may stand more than once, and of its comma-separated lists.
  std::vector<std::string> List(std::string_view name);
  // All values of a parameter that may stand more than once.
  std::vector<std::string> Each(std::string_view name);

  void Fail(std::string_view name, std::string detail);
  // Throws Error{kInvalidRequest} naming all that was wrong, if anything was.
  void ThrowIfWrong();

 private:
  const http::Request& request_;
  std::vector<FieldError> errors_;
};

// For calls that take no parameters: a misspelt or misplaced one must not be silently ignored.
void RefuseQuery(const http::Request& request);

}  // namespace millrace::api
