#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>

namespace millrace::broker {

// The tables of the SQLite ledger and their version.
//
// The next version of the schema, step by step:
//   1. Append one step to kSteps in ledger_scripts.cc. The version is the number of steps, so it
//      grows by itself; a step that was ever released is never edited. New files take all steps,
//      older files those that they lack, each in a transaction of its own together with the new
//      number, so that a crash in the middle leaves the old version. What SQL cannot say, `fill`
//      of the step does; it must do the same for ever, whatever the records look like by then.
//   2. A column that is added has a default; one that changes its meaning gets a new name. SQLite
//      rebuilds a table by CREATE new, INSERT … SELECT, DROP old, RENAME (its manual, "ALTER
//      TABLE", section 7).
//   3. Read and write the new column in sqlite_rows.cc.
//   4. Keep a file of the old version (the output of `.dump` of the sqlite3 shell) under
//      tests/broker and test that it opens with its rows: ledger_upgrade_test.cc.
// There is no way back: an older broker refuses the file, so make a copy before the upgrade.

// Marks the file's header ("MLRC") to tell a ledger from any other SQLite file.
inline constexpr int kLedgerApplicationId = 0x4d4c5243;

// The version that this build writes; kept in the file's user_version.
int LedgerSchemaVersion();

// Creates the tables in an empty file, brings an older one up to date, and configures the
// connection. Throws Error{kLedgerCorrupt}, having changed nothing, for a damaged file, one whose
// write-ahead log is damaged or gone, one that is not a ledger, or one of a newer version; the
// message names the file and what to do. REQUIRES: `database` has not been used yet.
void PrepareLedger(SQLite::Database& database, const std::filesystem::path& file);

// Notes in the file that its last commits may be in the write-ahead log from now on, so that the
// next start notices a lost log. Returns false if a foreign reader keeps the note in the log for
// now. Throws SQLite::Exception if the note cannot be written (commit nothing then, as it could be
// lost unnoticed), or ReadOnlyLedger (ledger.h).
bool NoteLedgerOpened(SQLite::Database& database, const std::filesystem::path& file);
// Notes that all commits are in the file again; this is the last commit before the connection
// closes. Does not throw: if the note cannot be written, the log stays.
void NoteLedgerClosed(SQLite::Database& database);

}  // namespace millrace::broker
