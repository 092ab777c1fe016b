#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <optional>
#include <string>

#include "broker/records.h"

namespace millrace {

// Lists of jobs in the order (created_at, id), page by page, each along the index that its filter
// allows.
//
// A page token names the last job of the page and the filter that it belongs to, in text that is
// opaque to clients: <hash of the filter, hex>.<created_at in microseconds, hex>.<job id>.

struct ListPosition {
  int64_t created_at = 0;  // microseconds since 1970
  std::string id;
};

std::string MakePageToken(const JobFilter& filter, const ListPosition& last);
// Returns nullopt for no token: the first page. Throws Error{kInvalidRequest} for a token that was
// not made by MakePageToken for a filter that selects and orders alike.
std::optional<ListPosition> ReadPageToken(const JobFilter& filter);

// REQUIRES: filter.page_size > 0. `from` excludes itself and everything before it.
JobPage ListJobs(SQLite::Database& database, const JobFilter& filter,
                 const std::optional<ListPosition>& from);

}  // namespace millrace
