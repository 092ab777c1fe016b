#include "broker/verify/ledger_file.h"

#include "broker/ledger/sqlite/sqlite_statement.h"

namespace millrace::broker {

void CheckLedgerFile(SQLite::Database& database, const std::filesystem::path& file,
                     Findings& findings) {
  database.exec("PRAGMA cell_size_check = ON");
  OneTime integrity(database, "PRAGMA integrity_check(100)");
  while (integrity->Step()) {
    const std::string line = RowReader(*integrity).Text();
    if (line != "ok") findings.Add("ledger_file", file.string(), line);
  }
  OneTime references(database, "PRAGMA foreign_key_check");
  while (references->Step()) {
    RowReader row(*references);
    const std::string table = row.Text();
    const int64_t rowid = row.Integer();
    findings.Add("ledger_file", file.string(),
                 "row " + std::to_string(rowid) + " of " + table + " refers to a row of " +
                     row.Text() + " that is not there");
  }
}

}  // namespace millrace::broker
