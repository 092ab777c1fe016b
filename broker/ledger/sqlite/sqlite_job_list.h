#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <optional>

#include "broker/ledger/page_token.h"
#include "broker/ledger/records.h"

namespace millrace::broker {

// Lists jobs in the order (created_at, id), page by page, along the index that suits the filter.

// Returns the position in filter.page_token; nullopt: the start. Throws Error{kInvalidRequest}.
std::optional<ListPosition> ReadPageToken(const JobFilter& filter);

// REQUIRES: filter.page_size > 0. `from` excludes itself and everything before it.
JobPage ListJobs(SQLite::Database& database, const JobFilter& filter,
                 const std::optional<ListPosition>& from);

}  // namespace millrace::broker
