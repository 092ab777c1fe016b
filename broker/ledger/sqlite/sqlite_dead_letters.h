#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <optional>
#include <string>
#include <vector>

#include "broker/ledger/page_token.h"
#include "broker/ledger/records.h"

namespace millrace::broker {

// The dead letters of a ledger, in the order (died_at, job_id, generation). A list walks the index
// of the signature, else of the state, else of the time; the other conditions of a filter are
// looked at row by row.

std::optional<DeadLetterRecord> FindDeadLetter(SQLite::Database& database,
                                               const std::string& job_id);

// The place that filter.page_token names; nullopt: the beginning. Throws Error{kInvalidRequest}.
std::optional<ListPosition> ReadPageToken(const DeadLetterFilter& filter);
// Newest first. REQUIRES: filter.page_size > 0. `from` excludes itself and everything before it.
DeadLetterPage ListDeadLetters(SQLite::Database& database, const DeadLetterFilter& filter,
                               const std::optional<ListPosition>& from);
std::vector<DeadLetterRecord> OldestDeadLetters(SQLite::Database& database,
                                                const DeadLetterFilter& filter, size_t limit);
int64_t CountDeadLetters(SQLite::Database& database, const DeadLetterFilter& filter);
std::vector<DeadLetterGroup> GroupDeadLetters(SQLite::Database& database,
                                              const DeadLetterFilter& filter, size_t limit);

// The input's SHA-256 and the job of each open letter with the code `poison`, the first death
// first.
std::vector<std::pair<std::string, std::string>> PoisonousMedia(SQLite::Database& database);

// What was asked of many of them.
std::optional<RedriveRecord> FindRedrive(SQLite::Database& database, const std::string& id);
std::optional<PurgeRecord> FindPurge(SQLite::Database& database, const std::string& id);

}  // namespace millrace::broker
