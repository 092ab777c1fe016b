#include "tests/bench/ledger_peer.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <chrono>
#include <stdexcept>
#include <string>

namespace millrace::bench {
namespace {

namespace fs = std::filesystem;

void ReadAll(SQLite::Database& database, const std::string& sql) {
  SQLite::Statement rows(database, sql);
  while (rows.executeStep()) {
    for (int i = 0; i < rows.getColumnCount(); ++i) rows.getColumn(i).getString();
  }
}

}  // namespace

double MeasurePlainRecovery(const fs::path& ledger, const fs::path& scratch) {
  const fs::path copy = scratch / "plain.db";
  for (const char* suffix : {"", "-wal"}) {
    const fs::path from = ledger.string() + suffix;
    const fs::path to = copy.string() + suffix;
    fs::remove(to);
    if (fs::exists(from)) fs::copy_file(from, to);
  }
  fs::remove(copy.string() + "-shm");

  const auto begun = std::chrono::steady_clock::now();
  SQLite::Database database(copy.string(), SQLite::OPEN_READWRITE);
  const std::string found = database.execAndGet("PRAGMA quick_check").getString();
  if (found != "ok") throw std::runtime_error("the ledger is damaged: " + found);
  const std::string open_jobs =
      "(SELECT id FROM jobs WHERE state NOT IN ('succeeded', 'cancelled', 'dead'))";
  ReadAll(database, "SELECT * FROM jobs WHERE id IN " + open_jobs);
  ReadAll(database, "SELECT * FROM tasks WHERE job_id IN " + open_jobs);
  ReadAll(database,
          "SELECT * FROM attempts WHERE task_id IN (SELECT id FROM tasks WHERE job_id IN " +
              open_jobs + ")");
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - begun).count();
}

}  // namespace millrace::bench
