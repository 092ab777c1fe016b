#include "broker/ledger/page_token.h"

#include <charconv>

#include "core/base/error.h"
#include "core/base/json_text.h"

namespace millrace::broker {
namespace {

std::string Hex(uint64_t number) {
  char text[16];
  const auto [end, error] = std::to_chars(std::begin(text), std::end(text), number, 16);
  return {text, end};
}

std::optional<uint64_t> FromHex(std::string_view text) {
  uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, 16);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return number;
}

// Hashes with FNV-1a: the token guards against mistakes, not against forgery.
std::string HashOf(const nlohmann::json& filter) {
  uint64_t hash = 0xcbf29ce484222325;
  for (const char c : ToText(filter)) {
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3;
  }
  return Hex(hash);
}

}  // namespace

std::string MakePageToken(const nlohmann::json& filter, const ListPosition& last) {
  return HashOf(filter) + "." + Hex(static_cast<uint64_t>(last.at)) + "." + last.id;
}

std::optional<ListPosition> ReadPageToken(std::string_view token, const nlohmann::json& filter) {
  if (token.empty()) return std::nullopt;
  const size_t first = token.find('.');
  const size_t second = first == token.npos ? token.npos : token.find('.', first + 1);
  const auto refuse = [](const std::string& detail) -> Error {
    return Error({FieldError{"/page_token", detail}});
  };
  if (second == token.npos) throw refuse("was not made by this service");
  const auto at = FromHex(token.substr(first + 1, second - first - 1));
  if (!at) throw refuse("was not made by this service");
  if (token.substr(0, first) != HashOf(filter)) {
    throw refuse("belongs to a list with another filter or order");
  }
  return ListPosition{.at = static_cast<int64_t>(*at), .id = std::string(token.substr(second + 1))};
}

}  // namespace millrace::broker
