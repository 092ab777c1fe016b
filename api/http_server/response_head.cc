#include "api/http_server/response_head.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <ctime>

namespace millrace::http {
namespace {

// IMF-fixdate (RFC 9110, section 5.6.7), made once a second and thread.
const std::string& DateNow() {
  thread_local std::time_t made_at = 0;
  thread_local std::string date;
  const std::time_t now = std::time(nullptr);
  if (now == made_at) return date;
  static constexpr std::array kDays = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
  static constexpr std::array kMonths = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                         "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  date = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[utc.tm_wday], utc.tm_mday,
                     kMonths[utc.tm_mon], utc.tm_year + 1900, utc.tm_hour, utc.tm_min, utc.tm_sec);
  made_at = now;
  return date;
}

bool IsNameCharacter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
         c == '_';
}

bool IsValueCharacter(char c) {
  const auto byte = static_cast<unsigned char>(c);
  return (byte >= 0x20 && byte != 0x7F) || c == '\t';
}

bool BelongsToTheServer(std::string_view name) {
  static constexpr std::array<std::string_view, 4> kOwn = {"Content-Length", "Transfer-Encoding",
                                                           "Connection", "Date"};
  return std::any_of(kOwn.begin(), kOwn.end(),
                     [&](std::string_view own) { return EqualsIgnoringCase(own, name); });
}

}  // namespace

bool FieldsAreLegal(const Headers& headers) {
  return std::all_of(headers.fields().begin(), headers.fields().end(), [](const auto& field) {
    const auto& [name, value] = field;
    return !name.empty() && std::all_of(name.begin(), name.end(), IsNameCharacter) &&
           std::all_of(value.begin(), value.end(), IsValueCharacter) && !BelongsToTheServer(name);
  });
}

std::string Serialized(const ResponseHead& head, const ConnectionTerms& terms) {
  std::string text = fmt::format("HTTP/1.1 {} {}\r\n", head.status, ReasonPhrase(head.status));
  text += "Date: " + DateNow() + "\r\n";
  for (const auto& [name, value] : head.headers.fields()) text += name + ": " + value + "\r\n";
  if (head.framing == Framing::kLength) {
    text += fmt::format("Content-Length: {}\r\n", head.content_length);
  }
  if (head.framing == Framing::kChunked) text += "Transfer-Encoding: chunked\r\n";
  if (!terms.keep_alive) {
    text += "Connection: close\r\n";
  } else if (terms.http10) {
    text += "Connection: keep-alive\r\n";
  }
  return text + "\r\n";
}

}  // namespace millrace::http
