#include "api/http_server/request_target.h"

#include <algorithm>
#include <cstdint>

namespace millrace::http {
namespace {

int HexValue(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

bool IsContinuation(unsigned char byte) { return (byte & 0xC0) == 0x80; }

// The length of the UTF-8 sequence at `text[at]`, 0 if it is not one (RFC 3629).
size_t Utf8SequenceLength(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) -> unsigned char {
    return at + i < text.size() ? static_cast<unsigned char>(text[at + i]) : 0;
  };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  if (lead >= 0xC2 && lead <= 0xDF) return IsContinuation(byte(1)) ? 2 : 0;
  if (lead >= 0xE0 && lead <= 0xEF) {
    const bool overlong = lead == 0xE0 && byte(1) < 0xA0;
    const bool surrogate = lead == 0xED && byte(1) > 0x9F;
    const bool complete = IsContinuation(byte(1)) && IsContinuation(byte(2));
    return complete && !overlong && !surrogate ? 3 : 0;
  }
  if (lead >= 0xF0 && lead <= 0xF4) {
    const bool overlong = lead == 0xF0 && byte(1) < 0x90;
    const bool beyond = lead == 0xF4 && byte(1) > 0x8F;
    const bool complete =
        IsContinuation(byte(1)) && IsContinuation(byte(2)) && IsContinuation(byte(3));
    return complete && !overlong && !beyond ? 4 : 0;
  }
  return 0;
}

bool IsPrintableUtf8(std::string_view text) {
  for (size_t i = 0; i < text.size();) {
    const auto byte = static_cast<unsigned char>(text[i]);
    const size_t length = Utf8SequenceLength(text, i);
    if (length == 0 || byte < 0x20 || byte == 0x7F) return false;
    i += length;
  }
  return true;
}

bool ParsePath(std::string_view path, std::vector<std::string>& segments) {
  while (true) {
    const auto slash = path.find('/');
    auto segment = PercentDecoded(path.substr(0, slash));
    if (!segment || *segment == "." || *segment == ".." ||
        segment->find('/') != std::string::npos) {
      return false;
    }
    segments.push_back(std::move(*segment));
    if (slash == std::string_view::npos) return true;
    path.remove_prefix(slash + 1);
  }
}

std::optional<std::string> FormDecoded(std::string_view text) {
  std::string spaced(text);
  std::replace(spaced.begin(), spaced.end(), '+', ' ');
  return PercentDecoded(spaced);
}

bool ParseQuery(std::string_view query, Parameters& parameters) {
  while (!query.empty()) {
    const auto pair = query.substr(0, query.find('&'));
    query.remove_prefix(std::min(pair.size() + 1, query.size()));
    if (pair.empty()) continue;
    const auto equals = pair.find('=');
    auto name = FormDecoded(pair.substr(0, equals));
    auto value = FormDecoded(equals == std::string_view::npos ? std::string_view()
                                                              : pair.substr(equals + 1));
    if (!name || !value) return false;
    parameters.Add(std::move(*name), std::move(*value));
  }
  return true;
}

}  // namespace

std::optional<std::string> PercentDecoded(std::string_view text) {
  std::string decoded;
  decoded.reserve(text.size());
  for (size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      decoded += text[i];
      continue;
    }
    const int high = i + 1 < text.size() ? HexValue(text[i + 1]) : -1;
    const int low = i + 2 < text.size() ? HexValue(text[i + 2]) : -1;
    if (high < 0 || low < 0) return std::nullopt;
    decoded += static_cast<char>(high * 16 + low);
    i += 2;
  }
  if (!IsPrintableUtf8(decoded)) return std::nullopt;
  return decoded;
}

std::optional<RequestTarget> ParseTarget(std::string_view target) {
  RequestTarget parsed;
  if (target == "*") return parsed;
  for (const std::string_view scheme : {"http://", "https://"}) {
    if (target.size() < scheme.size() ||
        !EqualsIgnoringCase(target.substr(0, scheme.size()), scheme)) {
      continue;
    }
    const auto path = target.find_first_of("/?", scheme.size());
    target = path == std::string_view::npos ? std::string_view("/") : target.substr(path);
    break;
  }
  if (target.empty() || target.front() != '/') return std::nullopt;
  const auto question = target.find('?');
  const auto path = target.substr(1, question == std::string_view::npos ? question : question - 1);
  if (!ParsePath(path, parsed.segments)) return std::nullopt;
  if (question != std::string_view::npos &&
      !ParseQuery(target.substr(question + 1), parsed.query)) {
    return std::nullopt;
  }
  return parsed;
}

}  // namespace millrace::http
