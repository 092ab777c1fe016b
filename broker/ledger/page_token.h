#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace millrace::broker {

// A page token names the last row of a page and the filter that it belongs to, in text that is
// opaque to clients: <hash of the filter, hex>.<time in microseconds, hex>.<id>.

// A position in a list that is ordered by (time, id).
struct ListPosition {
  int64_t at = 0;  // microseconds since 1970
  std::string id;
};

// Makes a token. `filter` must hold everything that decides which rows are listed, and in which
// order.
std::string MakePageToken(const nlohmann::json& filter, const ListPosition& last);
// Returns nullopt for an empty token, which stands for the first page. Throws
// Error{kInvalidRequest} unless MakePageToken made the token for an equal filter.
std::optional<ListPosition> ReadPageToken(std::string_view token, const nlohmann::json& filter);

}  // namespace millrace::broker
