#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>

#include "broker/verify/findings.h"

namespace millrace::broker {

// Whether the file is a whole database: its pages, that each index holds what its table holds, and
// that no row refers to one that is not there.
void CheckLedgerFile(SQLite::Database& database, const std::filesystem::path& file,
                     Findings& findings);

}  // namespace millrace::broker
