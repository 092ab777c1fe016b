#include "broker/ledger_schema.h"

#include <array>
#include <string>

#include "broker/sqlite_statement.h"
#include "core/log.h"

namespace millrace {
namespace {

// Times are microseconds since 1970, states and events their names, JSON is text.
//
// - A job's place in every list is (created_at, id): each index that a list walks ends in the two,
//   so that a page costs what the page holds, however long the list is.
// - jobs_open is what a starting broker loads; it stays small while the history grows.
// - Labels stand in a table of their own, which repeats created_at for the same reason.
// - attempts have no job column: a lease is of a task, and the fence alone names it.
// - counters hold the last fence and event number ever given out, so that neither goes back when
//   rows are removed.
// - Foreign keys are on and checked at the end of the transaction: a dispatcher that forgot a row
//   fails that commit instead of leaving a ledger that cannot be loaded.
constexpr const char* kVersion1 = R"sql(
CREATE TABLE jobs (
  id              TEXT PRIMARY KEY NOT NULL,
  state           TEXT NOT NULL,
  generation      INTEGER NOT NULL,
  external_id     TEXT NOT NULL,
  created_at      INTEGER NOT NULL,
  started_at      INTEGER,
  finished_at     INTEGER,
  published_fence INTEGER NOT NULL,
  request         TEXT NOT NULL,
  input_facts     TEXT,
  media           TEXT,
  files           TEXT NOT NULL,
  warnings        TEXT NOT NULL,
  error           TEXT
);
CREATE INDEX jobs_by_time ON jobs (created_at, id);
CREATE INDEX jobs_by_state ON jobs (state, created_at, id);
CREATE INDEX jobs_by_external_id ON jobs (external_id, created_at, id) WHERE external_id <> '';
CREATE INDEX jobs_open ON jobs (created_at, id)
  WHERE state NOT IN ('succeeded', 'cancelled', 'dead');

CREATE TABLE job_labels (
  name       TEXT NOT NULL,
  value      TEXT NOT NULL,
  created_at INTEGER NOT NULL,
  job_id     TEXT NOT NULL REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED,
  PRIMARY KEY (name, value, created_at, job_id)
) WITHOUT ROWID;

CREATE TABLE tasks (
  id                      TEXT PRIMARY KEY NOT NULL,
  job_id                  TEXT NOT NULL REFERENCES jobs (id) DEFERRABLE INITIALLY DEFERRED,
  state                   TEXT NOT NULL,
  fence                   INTEGER NOT NULL,
  attempts_spent          INTEGER NOT NULL,
  infrastructure_failures INTEGER NOT NULL,
  crashed_workers         TEXT NOT NULL,
  last_worker             TEXT NOT NULL,
  due_at                  INTEGER,
  manifest                TEXT,
  failure                 TEXT
);
CREATE INDEX tasks_by_job ON tasks (job_id);

CREATE TABLE attempts (
  fence       INTEGER PRIMARY KEY,
  task_id     TEXT NOT NULL REFERENCES tasks (id) DEFERRABLE INITIALLY DEFERRED,
  number      INTEGER NOT NULL,
  generation  INTEGER NOT NULL,
  worker      TEXT NOT NULL,
  started_at  INTEGER NOT NULL,
  finished_at INTEGER,
  outcome     TEXT NOT NULL,
  failure     TEXT,
  versions    TEXT
);
CREATE INDEX attempts_by_task ON attempts (task_id, fence);

CREATE TABLE events (
  sequence   INTEGER PRIMARY KEY,
  job_id     TEXT NOT NULL,
  generation INTEGER NOT NULL,
  event      TEXT NOT NULL,
  state      TEXT NOT NULL,
  at         INTEGER NOT NULL
);

CREATE TABLE counters (
  name  TEXT PRIMARY KEY NOT NULL,
  value INTEGER NOT NULL
) WITHOUT ROWID;
INSERT INTO counters VALUES ('fence', 0), ('sequence', 0);
)sql";

constexpr auto kScripts = std::to_array<const char*>({kVersion1});

int ReadPragma(SQLite::Database& database, const std::string& name) {
  return database.execAndGet("PRAGMA " + name).getInt();
}

bool IsEmpty(SQLite::Database& database) {
  return database.execAndGet("SELECT count(*) FROM sqlite_schema").getInt() == 0;
}

// Returns the version of the file; 0 if it is to be created.
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

void CheckWhole(SQLite::Database& database, const std::filesystem::path& file) {
  const std::string found = database.execAndGet("PRAGMA quick_check(1)").getString();
  if (found == "ok") return;
  throw LedgerCorrupt(file, "is damaged (" + found +
                                "): keep a copy of the file, and put a backup or the result of "
                                "`sqlite3 " +
                                file.string() + " .recover` in its place");
}

void Upgrade(SQLite::Database& database, int version) {
  for (int next = version; next < LedgerSchemaVersion(); ++next) {
    SQLite::Transaction transaction(database);
    database.exec(kScripts.at(static_cast<size_t>(next)));
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

}  // namespace

int LedgerSchemaVersion() { return static_cast<int>(kScripts.size()); }

void PrepareLedger(SQLite::Database& database, const std::filesystem::path& file) {
  const int version = CheckKind(database, file);
  CheckWhole(database, file);
  Configure(database);
  Upgrade(database, version);
}

}  // namespace millrace
