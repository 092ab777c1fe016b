#include "tests/bench/disk_limit.h"

#include <SQLiteCpp/SQLiteCpp.h>

#include <stdexcept>
#include <vector>

#include "core/base/id.h"

namespace millrace::bench {
namespace {

using Clock = std::chrono::steady_clock;

// The columns of `table` that stand in the place of the key, as SQL parameters; the rest is read
// from the template row once and inserted as it is.
class RowCopier {
 public:
  // `keys` are the columns that get a new value with each copy, in the order of Insert's values.
  RowCopier(SQLite::Database& database, const std::string& table, std::vector<std::string> keys,
            const std::string& where)
      : keys_(std::move(keys)), insert_(database, InsertText(database, table)) {
    SQLite::Statement row(database, "SELECT * FROM " + table + " WHERE " + where);
    if (!row.executeStep()) throw std::runtime_error("the ledger has no such row in " + table);
    for (int i = 0; i < row.getColumnCount(); ++i) {
      const SQLite::Column column = row.getColumn(i);
      bool is_key = false;
      for (const std::string& key : keys_) is_key = is_key || key == column.getName();
      if (is_key) {
        continue;
      }
      if (column.isInteger()) {
        insert_.bind(i + 1, column.getInt64());
      } else if (column.isText()) {
        insert_.bind(i + 1, column.getString());
      } else {
        insert_.bind(i + 1);
      }
    }
    for (const std::string& key : keys_) places_.push_back(row.getColumnIndex(key.c_str()) + 1);
  }

  template <typename... Values>
  void Insert(const Values&... values) {
    size_t next = 0;
    (insert_.bind(places_.at(next++), values), ...);
    insert_.exec();
    insert_.reset();
  }

 private:
  static std::string InsertText(SQLite::Database& database, const std::string& table) {
    const SQLite::Statement any(database, "SELECT * FROM " + table);
    std::string places;
    for (int i = 0; i < any.getColumnCount(); ++i) places += i == 0 ? "?" : ",?";
    return "INSERT INTO " + table + " VALUES (" + places + ")";
  }

  const std::vector<std::string> keys_;
  SQLite::Statement insert_;
  std::vector<int> places_;
};

void Configure(SQLite::Database& database) {
  database.exec("PRAGMA journal_mode = WAL");
  database.exec("PRAGMA synchronous = FULL");
  database.exec("PRAGMA foreign_keys = ON");
  database.exec("PRAGMA wal_autocheckpoint = 2000");
  database.exec("PRAGMA cache_size = -16384");
}

}  // namespace

double MeasureDiskLimit(const std::filesystem::path& ledger, const std::string& job_id,
                        size_t batch, std::chrono::milliseconds duration) {
  const std::filesystem::path copy = ledger.parent_path() / "disk-limit.db";
  std::filesystem::copy_file(ledger, copy, std::filesystem::copy_options::overwrite_existing);
  SQLite::Database database(copy.string(), SQLite::OPEN_READWRITE);
  Configure(database);
  RowCopier jobs(database, "jobs", {"id"}, "id = '" + job_id + "'");
  RowCopier tasks(database, "tasks", {"id", "job_id"}, "job_id = '" + job_id + "'");
  RowCopier events(database, "events", {"sequence", "job_id"}, "job_id = '" + job_id + "'");
  SQLite::Statement counter(database, "UPDATE counters SET value = ? WHERE name = 'sequence'");
  const int64_t first = database.execAndGet("SELECT max(sequence) FROM events").getInt64();

  size_t done = 0;
  const auto start = Clock::now();
  while (Clock::now() - start < duration) {
    SQLite::Transaction transaction(database);
    for (size_t i = 0; i < batch; ++i) {
      const std::string id = NewJobId();
      jobs.Insert(id);
      tasks.Insert(NewTaskId(), id);
      events.Insert(first + static_cast<int64_t>(++done), id);
    }
    counter.bind(1, first + static_cast<int64_t>(done));
    counter.exec();
    counter.reset();
    transaction.commit();
  }
  return static_cast<double>(done) / std::chrono::duration<double>(Clock::now() - start).count();
}

}  // namespace millrace::bench
