#include "api/http_server/request_head.h"

#include <algorithm>
#include <array>
#include <charconv>

#include "api/http_server/request_target.h"

namespace millrace::http {
namespace {

constexpr std::string_view kCrLf = "\r\n";
constexpr std::array<std::string_view, 7> kMethods = {"GET",   "HEAD",   "POST",   "PUT",
                                                      "PATCH", "DELETE", "OPTIONS"};

// RFC 9110, section 5.6.2.
bool IsToken(std::string_view text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](unsigned char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') ||
           std::string_view("!#$%&'*+-.^_`|~").find(static_cast<char>(c)) != std::string_view::npos;
  });
}

bool IsFieldValue(std::string_view text) {
  return std::none_of(text.begin(), text.end(),
                      [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7F; });
}

bool IsVisibleAscii(std::string_view text) {
  return std::all_of(text.begin(), text.end(),
                     [](unsigned char c) { return c > 0x20 && c < 0x7F; });
}

Problem BadRequest(std::string detail) {
  return {.status = 400, .code = "invalid_request", .detail = std::move(detail)};
}

// Reads one head. Each step returns what is wrong, or nothing.
class HeadReader {
 public:
  explicit HeadReader(const Limits& limits) : limits_(limits) {}

  std::optional<Problem> Read(std::string_view head);
  RequestHead TakeHead() { return std::move(head_); }
  bool is_head() const { return head_.request.method == "HEAD"; }

 private:
  std::optional<Problem> ReadRequestLine(std::string_view line);
  std::optional<Problem> ReadVersion(std::string_view version);
  std::optional<Problem> ReadTarget(std::string_view target);
  std::optional<Problem> ReadField(std::string_view line);
  std::optional<Problem> Interpret(std::string_view name, std::string_view value);
  std::optional<Problem> ReadContentLength(std::string_view value);
  std::optional<Problem> ReadTransferEncoding(std::string_view value);
  void ReadConnection(std::string_view value);
  std::optional<Problem> CheckWhole() const;

  const Limits& limits_;
  RequestHead head_;
  bool has_host_ = false;
  bool says_close_ = false;
  bool says_keep_alive_ = false;
};

std::optional<Problem> HeadReader::Read(std::string_view head) {
  const auto end = head.find(kCrLf);
  if (auto problem = ReadRequestLine(head.substr(0, end))) return problem;
  head.remove_prefix(end + kCrLf.size());
  while (!head.starts_with(kCrLf)) {
    const auto line = head.substr(0, head.find(kCrLf));
    if (head_.request.headers.fields().size() >= limits_.header_fields) {
      return Problem{.status = 431,
                     .code = "headers_too_large",
                     .detail = "The request has too many header fields."};
    }
    if (auto problem = ReadField(line)) return problem;
    head.remove_prefix(line.size() + kCrLf.size());
  }
  head_.keep_alive = !says_close_ && (!head_.request.http10 || says_keep_alive_);
  return CheckWhole();
}

std::optional<Problem> HeadReader::ReadRequestLine(std::string_view line) {
  const auto first = line.find(' ');
  const auto last = line.rfind(' ');
  if (first == std::string_view::npos || first == last) {
    return BadRequest("The request line is not 'METHOD target HTTP/x.y'.");
  }
  const auto method = line.substr(0, first);
  if (!IsToken(method)) return BadRequest("The method is not a token.");
  if (auto problem = ReadVersion(line.substr(last + 1))) return problem;
  if (std::find(kMethods.begin(), kMethods.end(), method) == kMethods.end()) {
    return Problem{.status = 501,
                   .code = "not_implemented",
                   .detail = "The server does not know this method."};
  }
  head_.request.method = method;
  return ReadTarget(line.substr(first + 1, last - first - 1));
}

std::optional<Problem> HeadReader::ReadVersion(std::string_view version) {
  const auto digit = [&](size_t at) { return version[at] >= '0' && version[at] <= '9'; };
  if (version.size() != 8 || !version.starts_with("HTTP/") || version[6] != '.' || !digit(5) ||
      !digit(7)) {
    return BadRequest("The request line does not end with an HTTP version.");
  }
  if (version != "HTTP/1.1" && version != "HTTP/1.0") {
    return Problem{.status = 505,
                   .code = "http_version_not_supported",
                   .detail = "The server speaks HTTP/1.1 and HTTP/1.0."};
  }
  head_.request.http10 = version == "HTTP/1.0";
  return std::nullopt;
}

std::optional<Problem> HeadReader::ReadTarget(std::string_view target) {
  if (target.size() > limits_.target_bytes) {
    return Problem{
        .status = 414, .code = "uri_too_long", .detail = "The request's target is too long."};
  }
  if (!IsVisibleAscii(target) || target.find('#') != std::string_view::npos ||
      (target == "*" && head_.request.method != "OPTIONS")) {
    return BadRequest("The request's target is malformed.");
  }
  auto parsed = ParseTarget(target);
  if (!parsed) {
    return BadRequest(
        "The path or query has a bad escape, a '.' or '..' segment, an encoded slash, a control "
        "character or bytes that are not UTF-8.");
  }
  head_.request.target = target;
  head_.request.segments = std::move(parsed->segments);
  head_.request.query = std::move(parsed->query);
  return std::nullopt;
}

std::optional<Problem> HeadReader::ReadField(std::string_view line) {
  const auto colon = line.find(':');
  // A space before the colon and a folded line both fail here: neither is part of a token.
  if (colon == std::string_view::npos || !IsToken(line.substr(0, colon))) {
    return BadRequest("A header field has no proper name.");
  }
  const auto name = line.substr(0, colon);
  const auto value = TrimmedOws(line.substr(colon + 1));
  if (!IsFieldValue(value)) return BadRequest("A header field has control characters.");
  if (auto problem = Interpret(name, value)) return problem;
  head_.request.headers.Add(std::string(name), std::string(value));
  return std::nullopt;
}

std::optional<Problem> HeadReader::Interpret(std::string_view name, std::string_view value) {
  if (EqualsIgnoringCase(name, "Content-Length")) return ReadContentLength(value);
  if (EqualsIgnoringCase(name, "Transfer-Encoding")) return ReadTransferEncoding(value);
  if (EqualsIgnoringCase(name, "Connection")) ReadConnection(value);
  if (EqualsIgnoringCase(name, "Host")) {
    if (has_host_) return BadRequest("The request has more than one Host.");
    has_host_ = true;
  }
  if (EqualsIgnoringCase(name, "Expect") && !head_.request.http10) {
    if (!EqualsIgnoringCase(value, "100-continue")) {
      return Problem{.status = 417,
                     .code = "expectation_failed",
                     .detail = "The only expectation that the server meets is 100-continue."};
    }
    head_.expects_continue = true;
  }
  return std::nullopt;
}

std::optional<Problem> HeadReader::ReadContentLength(std::string_view value) {
  // 18 digits cannot overflow, and no body is that long.
  uint64_t length = 0;
  const auto [end, error] = std::from_chars(value.data(), value.data() + value.size(), length);
  const bool digits_only = !value.empty() && value.size() <= 18 && error == std::errc() &&
                           end == value.data() + value.size();
  if (!digits_only) return BadRequest("Content-Length is not a number.");
  if (head_.request.content_length) return BadRequest("The request has two Content-Length fields.");
  head_.request.content_length = length;
  return std::nullopt;
}

std::optional<Problem> HeadReader::ReadTransferEncoding(std::string_view value) {
  if (head_.request.chunked) return BadRequest("The request has two Transfer-Encoding fields.");
  if (head_.request.http10) return BadRequest("HTTP/1.0 has no Transfer-Encoding.");
  if (!EqualsIgnoringCase(value, "chunked")) {
    return Problem{.status = 501,
                   .code = "not_implemented",
                   .detail = "The only transfer coding that the server knows is chunked."};
  }
  head_.request.chunked = true;
  return std::nullopt;
}

void HeadReader::ReadConnection(std::string_view value) {
  while (!value.empty()) {
    const auto item = value.substr(0, value.find(','));
    value.remove_prefix(std::min(item.size() + 1, value.size()));
    if (EqualsIgnoringCase(TrimmedOws(item), "close")) says_close_ = true;
    if (EqualsIgnoringCase(TrimmedOws(item), "keep-alive")) says_keep_alive_ = true;
  }
}

std::optional<Problem> HeadReader::CheckWhole() const {
  if (head_.request.chunked && head_.request.content_length) {
    return BadRequest("The request has both Transfer-Encoding and Content-Length.");
  }
  if (!has_host_ && !head_.request.http10) return BadRequest("The request has no Host.");
  return std::nullopt;
}

}  // namespace

HeadScanner::State HeadScanner::Scan(std::string_view input) {
  while (true) {
    const auto feed = input.find('\n', scanned_);
    if (feed == std::string_view::npos) {
      scanned_ = input.size();
      return State::kIncomplete;
    }
    scanned_ = feed + 1;
    if (feed == 0 || input[feed - 1] != '\r') return State::kMalformed;
    if (feed - 1 == line_start_) return State::kComplete;
    line_start_ = feed + 1;
  }
}

std::variant<RequestHead, BadHead> ParseHead(std::string_view head, const Limits& limits) {
  HeadReader reader(limits);
  if (auto problem = reader.Read(head)) {
    return BadHead{.problem = std::move(*problem), .is_head = reader.is_head()};
  }
  return reader.TakeHead();
}

}  // namespace millrace::http
