#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <optional>
#include <string>
#include <vector>

#include "broker/ledger/page_token.h"
#include "broker/ledger/records.h"

namespace millrace::broker {

// Lists a ledger's dead letters in the order (died_at, job_id, generation). A list walks the index
// of the signature, else of the state, else of the time, and tests the filter's other conditions
// row by row.

std::optional<DeadLetterRecord> FindDeadLetter(SQLite::Database& database,
                                               const std::string& job_id);

// Returns the position in filter.page_token; nullopt: the start. Throws Error{kInvalidRequest}.
std::optional<ListPosition> ReadPageToken(const DeadLetterFilter& filter);
// Newest first. REQUIRES: filter.page_size > 0. `from` excludes itself and everything before it.
DeadLetterPage ListDeadLetters(SQLite::Database& database, const DeadLetterFilter& filter,
                               const std::optional<ListPosition>& from);
std::vector<DeadLetterRecord> OldestDeadLetters(SQLite::Database& database,
                                                const DeadLetterFilter& filter, size_t limit);
int64_t CountDeadLetters(SQLite::Database& database, const DeadLetterFilter& filter);
std::vector<DeadLetterGroup> GroupDeadLetters(SQLite::Database& database,
                                              const DeadLetterFilter& filter, size_t limit);

// Returns the input's SHA-256 and the job of each open letter with the code `poison`, earliest
// death first.
std::vector<std::pair<std::string, std::string>> PoisonousMedia(SQLite::Database& database);

// Bulk requests.
std::optional<RedriveRecord> FindRedrive(SQLite::Database& database, const std::string& id);
std::optional<PurgeRecord> FindPurge(SQLite::Database& database, const std::string& id);

}  // namespace millrace::broker
