#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <optional>
#include <string>
#include <vector>

#include "broker/ledger/records.h"

namespace millrace::broker {

// What leaves a ledger, and what has to be known before it may; the declarations of
// broker/ledger/ledger.h as functions of a database.

std::vector<std::string> EndedBefore(SQLite::Database& database,
                                     const std::vector<JobState>& states, WallTime time,
                                     size_t limit);
std::vector<DeadLetterRecord> LettersDiedBefore(SQLite::Database& database, WallTime time,
                                                size_t limit);
bool IsUploadNamed(SQLite::Database& database, const std::string& upload_id);
std::optional<JobStanding> FindStanding(SQLite::Database& database, const std::string& job_id);

// To be called in a transaction. Throws Error{kInternal} for a job that is not there or has not
// ended.
void RemoveJobRows(SQLite::Database& database, const std::string& job_id);
// To be called in a transaction. Returns the number of events that it removed.
size_t PruneEventRows(SQLite::Database& database, WallTime time, size_t max_jobs);
// Likewise, of redrives and purges.
size_t PruneRequestRows(SQLite::Database& database, WallTime time, size_t limit);

}  // namespace millrace::broker
