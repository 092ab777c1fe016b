#include "cli/client/http_client.h"

#include <curl/curl.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cstdlib>
#include <exception>
#include <utility>

#include "core/base/error.h"

namespace millrace::cli {
namespace {

constexpr long kConnectTimeoutMs = 5'000;
constexpr long kStallSeconds = 60;

std::string CheckedBaseUrl(std::string url) {
  while (url.ends_with('/')) url.pop_back();
  const size_t host = url.starts_with("http://") ? 7 : url.starts_with("https://") ? 8 : 0;
  if (host == 0 || host >= url.size()) {
    throw Error(ErrorCode::kInvalidRequest,
                "'" + url + "' is not the URL of a service, such as http://127.0.0.1:8080");
  }
  return url;
}

// Returns whether to bypass the proxy of the environment, which is for other machines.
std::string NoProxyHosts() {
  const char* given = std::getenv("no_proxy");
  if (given == nullptr) given = std::getenv("NO_PROXY");
  return std::string(given == nullptr ? "" : std::string(given) + ",") + "localhost,127.0.0.1,::1";
}

}  // namespace

// One request and its outcome. The static functions are curl's callbacks. No exception may cross
// curl, which is C: keep the exception of a callback and rethrow it when curl has returned.
struct HttpClient::Exchange {
  std::string method;
  std::string path;
  std::vector<std::string> headers;
  const std::string* body = nullptr;
  const ByteSource* source = nullptr;
  std::optional<int64_t> total;
  const ByteSink* sink = nullptr;
  const TransferProgress* progress = nullptr;
  std::chrono::milliseconds timeout{0};  // 0: limit stalls only
  CURL* curl = nullptr;

  HttpResponse response;
  std::exception_ptr failure;

  static Exchange& Of(void* self) { return *static_cast<Exchange*>(self); }

  template <typename Function>
  bool Guard(Function function) {
    try {
      function();
      return true;
    } catch (...) {
      failure = std::current_exception();
      return false;
    }
  }

  static size_t OnRead(char* block, size_t size, size_t count, void* self) {
    Exchange& exchange = Of(self);
    size_t got = 0;
    const bool ok = exchange.Guard([&] { got = (*exchange.source)({block, size * count}); });
    return ok ? got : CURL_READFUNC_ABORT;
  }

  static size_t OnWrite(char* bytes, size_t size, size_t count, void* self) {
    Exchange& exchange = Of(self);
    const size_t length = size * count;
    long status = 0;
    curl_easy_getinfo(exchange.curl, CURLINFO_RESPONSE_CODE, &status);
    const bool ok = exchange.Guard([&] {
      if (exchange.sink != nullptr && status == 200) {
        (*exchange.sink)({bytes, length});
      } else {
        exchange.response.body.append(bytes, length);
      }
    });
    return ok ? length : 0;
  }

  static size_t OnHeader(char* bytes, size_t size, size_t count, void* self) {
    const std::string_view line(bytes, size * count);
    // Forget the header of an interim answer (100 Continue).
    if (line.starts_with("HTTP/")) Of(self).response.headers.clear();
    const size_t colon = line.find(':');
    if (colon == std::string_view::npos) return line.size();
    std::string name(line.substr(0, colon));
    std::ranges::transform(name, name.begin(), [](unsigned char c) { return std::tolower(c); });
    const size_t begin = line.find_first_not_of(" \t\r\n", colon + 1);
    const size_t end = line.find_last_not_of(" \t\r\n");
    if (begin != std::string_view::npos) {
      Of(self).response.headers[name] = line.substr(begin, end - begin + 1);
    }
    return line.size();
  }

  static int OnProgress(void* self, curl_off_t down_total, curl_off_t down, curl_off_t up_total,
                        curl_off_t up) {
    Exchange& exchange = Of(self);
    const bool uploading = exchange.source != nullptr;
    const curl_off_t total = uploading ? up_total : down_total;
    const bool ok = exchange.Guard([&] {
      (*exchange.progress)(uploading ? up : down,
                           total > 0 ? std::optional<int64_t>(total) : std::nullopt);
    });
    return ok ? 0 : 1;
  }
};

struct HttpClient::Handle {
  CURL* curl = curl_easy_init();
  std::array<char, CURL_ERROR_SIZE> reason{};
  std::string no_proxy = NoProxyHosts();

  Handle() = default;
  Handle(const Handle&) = delete;
  Handle& operator=(const Handle&) = delete;
  ~Handle() { curl_easy_cleanup(curl); }

  template <typename T>
  void Set(CURLoption option, T value) {
    curl_easy_setopt(curl, option, value);
  }
};

HttpClient::HttpClient(std::string base_url)
    : base_url_(CheckedBaseUrl(std::move(base_url))), handle_(std::make_unique<Handle>()) {
  if (handle_->curl == nullptr) throw Error(ErrorCode::kInternal, "libcurl cannot be started");
}

HttpClient::~HttpClient() = default;

HttpResponse HttpClient::Send(const HttpRequest& request) {
  Exchange exchange;
  exchange.method = request.method;
  exchange.path = request.path;
  exchange.headers = request.headers;
  if (request.method != "GET" && request.method != "DELETE") exchange.body = &request.body;
  exchange.timeout = request.timeout;
  return Perform(exchange);
}

HttpResponse HttpClient::Upload(const std::string& path, const ByteSource& source,
                                std::optional<int64_t> total, const TransferProgress& progress) {
  Exchange exchange;
  exchange.method = "PUT";
  exchange.path = path;
  exchange.headers = {"Content-Type: application/octet-stream"};
  exchange.source = &source;
  exchange.total = total;
  if (progress) exchange.progress = &progress;
  return Perform(exchange);
}

HttpResponse HttpClient::Download(const std::string& path, const ByteSink& sink,
                                  const TransferProgress& progress) {
  Exchange exchange;
  exchange.method = "GET";
  exchange.path = path;
  exchange.sink = &sink;
  if (progress) exchange.progress = &progress;
  return Perform(exchange);
}

void HttpClient::Prepare(Exchange& exchange, const std::string& url) {
  Handle& handle = *handle_;
  curl_easy_reset(handle.curl);  // keeps the connection
  exchange.curl = handle.curl;
  handle.Set(CURLOPT_URL, url.c_str());
  handle.Set(CURLOPT_ERRORBUFFER, handle.reason.data());
  handle.Set(CURLOPT_NOSIGNAL, 1L);
  handle.Set(CURLOPT_NOPROXY, handle.no_proxy.c_str());
  handle.Set(CURLOPT_CONNECTTIMEOUT_MS, kConnectTimeoutMs);
  if (exchange.timeout.count() > 0) {
    handle.Set(CURLOPT_TIMEOUT_MS, static_cast<long>(exchange.timeout.count()));
  } else {
    handle.Set(CURLOPT_LOW_SPEED_LIMIT, 1L);
    handle.Set(CURLOPT_LOW_SPEED_TIME, kStallSeconds);
  }
  handle.Set(CURLOPT_WRITEFUNCTION, &Exchange::OnWrite);
  handle.Set(CURLOPT_WRITEDATA, &exchange);
  handle.Set(CURLOPT_HEADERFUNCTION, &Exchange::OnHeader);
  handle.Set(CURLOPT_HEADERDATA, &exchange);
  if (exchange.progress != nullptr) {
    handle.Set(CURLOPT_NOPROGRESS, 0L);
    handle.Set(CURLOPT_XFERINFOFUNCTION, &Exchange::OnProgress);
    handle.Set(CURLOPT_XFERINFODATA, &exchange);
  }
  if (exchange.source != nullptr) {
    handle.Set(CURLOPT_UPLOAD, 1L);
    handle.Set(CURLOPT_READFUNCTION, &Exchange::OnRead);
    handle.Set(CURLOPT_READDATA, &exchange);
    handle.Set(CURLOPT_INFILESIZE_LARGE, static_cast<curl_off_t>(exchange.total.value_or(-1)));
  } else if (exchange.body != nullptr) {
    handle.Set(CURLOPT_CUSTOMREQUEST, exchange.method.c_str());
    handle.Set(CURLOPT_POSTFIELDS, exchange.body->c_str());
    handle.Set(CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(exchange.body->size()));
  } else if (exchange.method != "GET") {
    handle.Set(CURLOPT_CUSTOMREQUEST, exchange.method.c_str());
  }
}

HttpResponse HttpClient::Perform(Exchange& exchange) {
  const std::string url = base_url_ + exchange.path;
  Prepare(exchange, url);
  curl_slist* list = nullptr;
  for (const std::string& header : exchange.headers) list = curl_slist_append(list, header.c_str());
  const std::unique_ptr<curl_slist, decltype(&curl_slist_free_all)> headers(list,
                                                                            &curl_slist_free_all);
  handle_->Set(CURLOPT_HTTPHEADER, headers.get());
  handle_->reason.front() = '\0';
  const CURLcode code = curl_easy_perform(handle_->curl);
  if (exchange.failure) std::rethrow_exception(exchange.failure);
  if (code != CURLE_OK) {
    const char* reason = handle_->reason.front() != '\0' ? handle_->reason.data()  //
                                                         : curl_easy_strerror(code);
    long sent_bytes = 0;
    curl_easy_getinfo(handle_->curl, CURLINFO_REQUEST_SIZE, &sent_bytes);
    throw Error(ErrorCode::kBrokerUnavailable,
                sent_bytes == 0
                    ? "the service at " + base_url_ + " cannot be reached: " + reason
                    : "the answer of the service at " + base_url_ + " did not come: " + reason,
                {{"unreachable", true}, {"sent", sent_bytes > 0}});
  }
  long status = 0;
  curl_easy_getinfo(handle_->curl, CURLINFO_RESPONSE_CODE, &status);
  exchange.response.status = static_cast<int>(status);
  answered_ = true;
  return std::move(exchange.response);
}

std::string_view HttpResponse::Header(const std::string& name) const {
  const auto found = headers.find(name);
  return found == headers.end() ? std::string_view() : std::string_view(found->second);
}

std::string PercentEncode(std::string_view text, bool keep_slashes) {
  constexpr std::string_view kHex = "0123456789ABCDEF";
  std::string encoded;
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    const bool plain = (byte >= 'a' && byte <= 'z') || (byte >= 'A' && byte <= 'Z') ||
                       (byte >= '0' && byte <= '9') ||
                       std::string_view("-._~").find(c) != std::string_view::npos;
    if (plain || (keep_slashes && c == '/')) {
      encoded += c;
    } else {
      encoded += {'%', kHex[byte >> 4], kHex[byte & 15]};
    }
  }
  return encoded;
}

}  // namespace millrace::cli
