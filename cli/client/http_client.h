#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace millrace::cli {

struct HttpRequest {
  std::string method = "GET";
  std::string path;                  // with the query, already percent-encoded
  std::vector<std::string> headers;  // "Name: value"
  std::string body;
  std::chrono::milliseconds timeout{30'000};  // for the whole exchange
};

struct HttpResponse {
  int status = 0;
  std::map<std::string, std::string> headers;  // names in lower case
  std::string body;

  // Returns "" if there is no such header; `name` is in lower case.
  std::string_view Header(const std::string& name) const;
};

// Fills the block and returns the number of bytes; 0 at the end. May throw.
using ByteSource = std::function<size_t(std::span<char> block)>;
using ByteSink = std::function<void(std::span<const char> bytes)>;
// Receives the bytes moved so far, and the total if it is known.
using TransferProgress = std::function<void(int64_t done, std::optional<int64_t> total)>;

// One connection to the service, over libcurl. Owned and used by one thread. An answer of any
// status is a result. Every method throws Error{kBrokerUnavailable} if no answer came, with
// {"unreachable": true, "sent": bool} in its context; `sent` is false only if the request cannot
// have reached the service.
class HttpClient {
 public:
  // Throws Error{kInvalidRequest} unless `base_url` is http:// or https:// with a host.
  explicit HttpClient(std::string base_url);
  ~HttpClient();

  HttpResponse Send(const HttpRequest& request);

  // PUTs the bytes of `source`: `total` of them, or chunked if that is unknown. Gives up when
  // nothing moves for a minute. `progress` may be empty.
  HttpResponse Upload(const std::string& path, const ByteSource& source,
                      std::optional<int64_t> total, const TransferProgress& progress);

  // GETs. The body of a 200 goes to `sink`, any other body into the response.
  HttpResponse Download(const std::string& path, const ByteSink& sink,
                        const TransferProgress& progress);

  const std::string& base_url() const { return base_url_; }
  // Returns whether the service has answered any request so far.
  bool answered() const { return answered_; }

 private:
  struct Exchange;
  void Prepare(Exchange& exchange, const std::string& url);
  HttpResponse Perform(Exchange& exchange);

  const std::string base_url_;  // without a slash at the end
  struct Handle;
  std::unique_ptr<Handle> handle_;
  bool answered_ = false;
};

// Encodes everything but RFC 3986's unreserved characters, and "/" where `keep_slashes`.
std::string PercentEncode(std::string_view text, bool keep_slashes = false);

}  // namespace millrace::cli
