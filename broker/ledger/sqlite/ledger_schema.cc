#include "broker/ledger/sqlite/ledger_schema.h"

#include <sqlite3.h>
#include <sys/stat.h>

#include <cerrno>
#include <string>

#include "broker/ledger/ledger.h"
#include "broker/ledger/sqlite/ledger_log_check.h"
#include "broker/ledger/sqlite/ledger_scripts.h"
#include "broker/ledger/sqlite/sqlite_statement.h"
#include "core/base/files.h"
#include "core/base/log.h"

namespace millrace::broker {
namespace {

int ReadPragma(SQLite::Database& database, const std::string& name) {
  return database.execAndGet("PRAGMA " + name).getInt();
}

bool IsEmpty(SQLite::Database& database) {
  return database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
}

// Returns the version of the file; 0 if it has yet to be created.
int CheckKind(SQLite::Database& database, const std::filesystem::path& file) {
  const int application = ReadPragma(database, "application_id");
  const int version = ReadPragma(database, "user_version");
  if (application == 0 && version == 0 && IsEmpty(database)) return 0;
  if (application != kLedgerApplicationId) {
    throw LedgerCorrupt(file,
                        "is a database of another program: move it away, or choose another "
                        "--data-dir");
  }
  if (version > LedgerSchemaVersion()) {
    throw LedgerCorrupt(file, "has schema version " + std::to_string(version) +
                                  ", this build knows versions up to " +
                                  std::to_string(LedgerSchemaVersion()) +
                                  ": start the newer build that wrote it, or restore the copy "
                                  "made before the upgrade");
  }
  return version;
}

[[noreturn]] void RefuseDamaged(const std::filesystem::path& file, const std::string& found) {
  throw LedgerCorrupt(file, "is damaged (" + found +
                                "): keep a copy of the file, and put a backup or the result of "
                                "`sqlite3 " +
                                file.string() + " .recover` in its place");
}

// Reads every page to find torn, truncated or overwritten ones; takes time in proportion to the
// file's size. `--verify` checks that each index agrees with its table.
void CheckWhole(SQLite::Database& database, const std::filesystem::path& file, bool had_log) {
  database.exec("PRAGMA cell_size_check = ON");
  const std::string found = database.execAndGet("PRAGMA quick_check(1)").getString();
  if (found != "ok") RefuseDamaged(file, found);
  // SQLite reads the missing part of the last page as zeroes. If there is a log, it may hold that
  // page.
  const auto page_bytes = static_cast<uintmax_t>(ReadPragma(database, "page_size"));
  if (!had_log && std::filesystem::file_size(file) % page_bytes != 0) {
    RefuseDamaged(file, "it ends in the middle of a page");
  }
}

// Returns the file's number in its file system; a copy has a different one.
int64_t IdentityOf(const std::filesystem::path& file) {
  struct stat status {};
  if (::stat(file.c_str(), &status) != 0) ThrowStorageError(errno, "look at", file);
  return static_cast<int64_t>(status.st_ino);
}

// A ledger that was not closed has its last commits in the write-ahead log. SQLite cannot tell a
// lost log from one that never existed.
void CheckLogIsThere(SQLite::Database& database, const std::filesystem::path& file, bool had_log) {
  if (had_log) return;
  const int64_t opened =
      database.execAndGet("SELECT coalesce(max(value), 0) FROM counters WHERE name = 'opened'")
          .getInt64();
  if (opened != IdentityOf(file)) return;
  throw LedgerCorrupt(
      file,
      "was not closed, but its write-ahead log " + file.string() +
          "-wal is gone, and the last commits with it: put it back, or a backup in the "
          "place of both. If the file is a backup that was made while a broker ran, if another "
          "program has opened it since (which moves the log into the file), or to go on "
          "without those commits, run `sqlite3 " +
          file.string() + " \"DELETE FROM counters WHERE name = 'opened'\"`");
}

bool HasLog(const std::filesystem::path& file) {
  std::error_code missing;
  const auto bytes = std::filesystem::file_size(file.string() + "-wal", missing);
  return !missing && bytes > 0;
}

void Upgrade(SQLite::Database& database, int version) {
  for (int next = version; next < LedgerSchemaVersion(); ++next) {
    SQLite::Transaction transaction(database);
    const SchemaStep& step = SchemaSteps()[static_cast<size_t>(next)];
    database.exec(step.script);
    if (step.fill != nullptr) step.fill(database);
    database.exec("PRAGMA application_id = " + std::to_string(kLedgerApplicationId));
    database.exec("PRAGMA user_version = " + std::to_string(next + 1));
    transaction.commit();
    LogInfo("ledger schema written", {{"version", next + 1}});
  }
}

// The broker holds the file open for months and is its only writer.
// - synchronous=FULL: a commit returns after the write-ahead log has been synced, which is what
//   "durable" means here; NORMAL may lose the last commits with the power.
// - The log is moved into the file by the commit that takes it past 2,000 pages (8 MiB): rare
//   enough that rows which change several times are moved once, small enough that this commit
//   takes milliseconds. No reader of the broker spans commits, so each checkpoint completes
//   and the log starts over; only a foreign reader (a shell, a backup) can make it grow, and
//   then it is cut back to the limit afterwards.
void Configure(SQLite::Database& database) {
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = FULL");
  database.exec("PRAGMA foreign_keys = ON");
  database.exec("PRAGMA wal_autocheckpoint = 2000");
  database.exec("PRAGMA journal_size_limit = 67108864");
  database.exec("PRAGMA cache_size = -16384");
  database.exec("PRAGMA temp_store = MEMORY");
}

// Makes closing leave the log in place, as a kill would; the next start reads it.
void KeepLogOnClose(SQLite::Database& database) {
  sqlite3_db_config(database.getHandle(), SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr);
}

}  // namespace

int LedgerSchemaVersion() { return static_cast<int>(SchemaSteps().size()); }

void PrepareLedger(SQLite::Database& database, const std::filesystem::path& file) {
  CheckLedgerLog(file);
  const bool had_log = HasLog(file);
  const int version = CheckKind(database, file);
  CheckWhole(database, file, had_log);
  if (version > 0) CheckLogIsThere(database, file, had_log);
  Configure(database);
  Upgrade(database, version);
}

bool NoteLedgerOpened(SQLite::Database& database, const std::filesystem::path& file) {
  try {
    database.exec("INSERT OR REPLACE INTO counters VALUES ('opened', " +
                  std::to_string(IdentityOf(file)) + ")");
    // Move the note into the file itself, out of the log whose loss it reveals. The checkpoint
    // returns three numbers: whether it was blocked, the frames in the log, and the frames moved to
    // the file.
    SQLite::Statement checkpoint(database, "PRAGMA wal_checkpoint(PASSIVE)");
    checkpoint.executeStep();
    return checkpoint.getColumn(1).getInt() == checkpoint.getColumn(2).getInt();
  } catch (const SQLite::Exception& error) {
    if (error.getErrorCode() != SQLITE_READONLY) throw;
    // If SQLite cannot open a file for writing, even for a moment, it opens it read-only and never
    // tries again. Such a connection can never commit.
    throw ReadOnlyLedger("the ledger " + file.string() +
                         " or its write-ahead log can be read but not written: see that the disk "
                         "is well and not full, and that both files belong to this user");
  }
}

void NoteLedgerClosed(SQLite::Database& database) {
  try {
    database.exec("DELETE FROM counters WHERE name = 'opened'");
  } catch (const SQLite::Exception&) {
    KeepLogOnClose(database);
  }
}

}  // namespace millrace::broker
