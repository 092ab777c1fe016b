#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>

namespace millrace {

// The tables of the SQLite ledger and their version.
//
// The next version of the schema, step by step:
//   1. Append one script to kScripts in ledger_schema.cc. The version is the number of scripts, so
//      it grows by itself; a script that was ever released is never edited. New files run all
//      scripts, older files those that they lack, each in a transaction of its own together with
//      the new number, so that a crash in the middle leaves the old version.
//   2. A column that is added has a default; one that changes its meaning gets a new name. SQLite
//      rebuilds a table by CREATE new, INSERT … SELECT, DROP old, RENAME (its manual, "ALTER
//      TABLE", section 7).
//   3. Read and write the new column in sqlite_rows.cc.
//   4. Keep a file of the old version under tests/broker and test that it opens with its rows.
// There is no way back: an older broker refuses the file, so make a copy before the upgrade.

// Stands in the file's header ("MLRC"); tells a ledger from any other SQLite file.
inline constexpr int kLedgerApplicationId = 0x4d4c5243;

// The version that this build writes; kept in the file's user_version.
int LedgerSchemaVersion();

// Creates the tables in an empty file, brings an older one up to date, and configures the
// connection. Throws Error{kLedgerCorrupt}, having changed nothing, for a damaged file, one that is
// not a ledger, or one of a newer version; the message names the file and what to do.
void PrepareLedger(SQLite::Database& database, const std::filesystem::path& file);

}  // namespace millrace
