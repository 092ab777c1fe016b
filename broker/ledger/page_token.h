#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::broker {

// A page token names the last row of a page and the filter that it belongs to, in text that is
// opaque to clients: <hash of the filter, hex>.<time in microseconds, hex>.<id>.

// The place of a row in a list that is ordered by (time, id).
struct ListPosition {
  int64_t at = 0;  // microseconds since 1970
  std::string id;
};

// `filter` is everything that decides which rows are listed and in which order.
std::string MakePageToken(const nlohmann::json& filter, const ListPosition& last);
// Returns nullopt for no token: the first page. Throws Error{kInvalidRequest} for a token that was
// not made by MakePageToken for an equal filter.
std::optional<ListPosition> ReadPageToken(std::string_view token, const nlohmann::json& filter);

}  // namespace millrace::broker
