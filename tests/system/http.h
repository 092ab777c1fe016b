#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::harness {

struct HttpCall {
  std::string method = "GET";
  std::string path;                  // with the query
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  std::chrono::milliseconds timeout{30'000};  // for the whole exchange
  // Receives the body of a 200 as it arrives, in place of the answer; false ends the exchange.
  std::function<bool(std::string_view piece)> on_body = {};
};

struct HttpAnswer {
  int status = 0;                              // 0: no answer came; `body` says why
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;
  bool broken_off = false;  // by on_body, or by the server in the middle of it

  // Throws nlohmann::json::exception if the body is no JSON.
  nlohmann::json Json() const { return nlohmann::json::parse(body); }
  // Empty if there is no such header; `name` in lower case.
  std::string Header(const std::string& name) const;
};

// Fills the block, returns how much; 0 at the end.
using BodySource = std::function<size_t(std::span<char> block)>;

// A small HTTP client on libcurl, independent of the CLI's. Keeps its connection open between
// calls. Owned and used by one thread.
class Http {
 public:
  explicit Http(std::string base_url);
  ~Http();
  Http(Http&&) noexcept;

  HttpAnswer Send(const HttpCall& call);
  // PUT of `bytes` bytes.
  HttpAnswer Put(const std::string& path, int64_t bytes, const BodySource& source,
                 std::chrono::milliseconds timeout = std::chrono::minutes(2));
  HttpAnswer PutFile(const std::string& path, const std::filesystem::path& file);
  // The body of a 200 goes into the file.
  HttpAnswer Download(const std::string& path, const std::filesystem::path& file);

  const std::string& base_url() const { return base_url_; }

 private:
  struct Transfer;
  HttpAnswer Perform(const HttpCall& call, Transfer& transfer);

  struct Handle;
  std::string base_url_;
  std::unique_ptr<Handle> handle_;
};

// Percent-encodes a segment of a path.
std::string EscapeSegment(const std::string& text);

}  // namespace millrace::harness
