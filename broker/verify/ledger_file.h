#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>

#include "broker/verify/findings.h"

namespace millrace::broker {

// Checks the database file: its pages, that each index agrees with its table, and that no row
// refers to a missing one.
void CheckLedgerFile(SQLite::Database& database, const std::filesystem::path& file,
                     Findings& findings);

}  // namespace millrace::broker
