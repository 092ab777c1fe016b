#pragma once

#include <cstdint>
#include <filesystem>
#include <initializer_list>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "core/base/unique_fd.h"

namespace millrace::http {

// ASCII only, as HTTP's field names and methods are.
bool EqualsIgnoringCase(std::string_view a, std::string_view b);
// Without spaces and tabs at both ends.
std::string_view TrimmedOws(std::string_view text);

// Header fields in the order in which they came; names compare without regard to case.
class Headers {
 public:
  using Field = std::pair<std::string, std::string>;

  Headers() = default;
  Headers(std::initializer_list<Field> fields) : fields_(fields) {}

  void Add(std::string name, std::string value);
  // Replaces all fields of that name.
  void Set(std::string name, std::string value);
  // The first value. The view lives as long as the field.
  std::optional<std::string_view> Find(std::string_view name) const;
  bool Has(std::string_view name) const { return Find(name).has_value(); }
  std::vector<std::string_view> All(std::string_view name) const;
  const std::vector<Field>& fields() const { return fields_; }

 private:
  std::vector<Field> fields_;
};

// Decoded key and value pairs in their order: path parameters, or a query.
class Parameters {
 public:
  void Add(std::string name, std::string value);
  // The first value of that name.
  std::optional<std::string_view> Find(std::string_view name) const;
  std::vector<std::string_view> All(std::string_view name) const;
  const std::vector<std::pair<std::string, std::string>>& pairs() const { return pairs_; }

 private:
  std::vector<std::pair<std::string, std::string>> pairs_;
};

// One request. Path segments and query are percent-decoded exactly once and are valid UTF-8 without
// control characters; header values are as sent. Immutable once a handler sees it, and alive as
// long as the Responder that came with it.
struct Request {
  std::string method;
  std::string target;                 // as sent
  std::vector<std::string> segments;  // the decoded path, split at its slashes
  Parameters path_parameters;         // what the route's {name} parts matched
  Parameters query;
  Headers headers;
  std::string body;  // empty for uploads: their sink gets it
  std::optional<uint64_t>
      content_length;  // as declared; none without a body, or with a chunked one
  bool chunked = false;
  std::string peer;  // "192.0.2.1:4711"
  bool http10 = false;

  bool is_head() const { return method == "HEAD"; }
  // REQUIRES: the route has a {name} part of this name.
  const std::string& PathParameter(std::string_view name) const;
};

// A whole answer. Content-Length, Date and Connection are the server's; a body on a 204 or 304 is
// not sent.
struct Response {
  int status = 200;
  Headers headers = {};
  std::string body = {};
};

// A file as answer; conditional and range requests are decided by the server.
struct FileResponse {
  UniqueFd file = {};  // a regular file
  std::string media_type = "application/octet-stream";
  std::string etag = {};  // with its quotes; empty for none
  Headers headers = {};
};

// Opens a regular file for SendFile; invalid if there is none of that name. Follows no symbolic
// link in the last component.
UniqueFd OpenForSending(const std::filesystem::path& path);

// The phrase of a status line, "Unknown" for a code that has none.
std::string_view ReasonPhrase(int status);

}  // namespace millrace::http
