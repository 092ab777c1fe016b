#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <optional>
#include <string>
#include <vector>

#include "broker/ledger/records.h"

namespace millrace::broker {

// Removes rows from a ledger and answers the queries that retention asks first. Implements the
// methods declared in broker/ledger/ledger.h as functions of a database.

std::vector<std::string> EndedBefore(SQLite::Database& database,
                                     const std::vector<JobState>& states, WallTime time,
                                     size_t limit);
std::vector<DeadLetterRecord> LettersDiedBefore(SQLite::Database& database, WallTime time,
                                                size_t limit);
bool IsUploadNamed(SQLite::Database& database, const std::string& upload_id);
std::optional<JobStanding> FindStanding(SQLite::Database& database, const std::string& job_id);

// Throws Error{kInternal} if the job does not exist or has not ended. REQUIRES: a transaction is
// open.
void RemoveJobRows(SQLite::Database& database, const std::string& job_id);
// Returns the number of events removed. REQUIRES: a transaction is open.
size_t PruneEventRows(SQLite::Database& database, WallTime time, size_t max_jobs);
// Returns the number of redrives and purges removed. REQUIRES: a transaction is open.
size_t PruneRequestRows(SQLite::Database& database, WallTime time, size_t limit);

}  // namespace millrace::broker
