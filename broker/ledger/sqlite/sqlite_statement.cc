#include "broker/ledger/sqlite/sqlite_statement.h"

#include <sqlite3.h>

#include <cerrno>

#include "core/base/json_text.h"

namespace millrace::broker {

Execution& Execution::Restart() {
  statement_.tryReset();
  next_ = 1;
  return *this;
}

Execution& Execution::Text(std::string_view value) {
  statement_.bind(next_++, std::string(value));
  return *this;
}

Execution& Execution::Integer(int64_t value) {
  statement_.bind(next_++, value);
  return *this;
}

Execution& Execution::Time(WallTime value) { return Integer(ToMicroseconds(value)); }

Execution& Execution::OptionalTime(const std::optional<WallTime>& value) {
  if (value) return Time(*value);
  statement_.bind(next_++);
  return *this;
}

Execution& Execution::Json(const nlohmann::json& value) {
  if (value.is_null()) {
    statement_.bind(next_++);
    return *this;
  }
  return Text(ToText(value));
}

std::string RowReader::Text() { return statement_.getColumn(next_++).getString(); }

int64_t RowReader::Integer() { return statement_.getColumn(next_++).getInt64(); }

WallTime RowReader::Time() { return FromMicroseconds(Integer()); }

std::optional<WallTime> RowReader::OptionalTime() {
  const SQLite::Column column = statement_.getColumn(next_++);
  if (column.isNull()) return std::nullopt;
  return FromMicroseconds(column.getInt64());
}

nlohmann::json RowReader::Json() {
  const SQLite::Column column = statement_.getColumn(next_++);
  if (column.isNull()) return nullptr;
  const char* text = column.getText();
  return nlohmann::json::parse(text, text + column.getBytes());
}

int64_t ToMicroseconds(WallTime time) { return time.time_since_epoch().count(); }

WallTime FromMicroseconds(int64_t microseconds) {
  return WallTime(std::chrono::microseconds(microseconds));
}

Error LedgerCorrupt(const std::filesystem::path& file, const std::string& detail) {
  return Error(ErrorCode::kLedgerCorrupt, "the ledger " + file.string() + " " + detail,
               {{"path", file.string()}});
}

Error TranslateSqliteError(const SQLite::Exception& error, SQLite::Database* database,
                           const std::filesystem::path& file) {
  const std::string detail = "the ledger " + file.string() + ": " + error.what();
  const nlohmann::json context = {{"path", file.string()},
                                  {"sqlite_code", error.getExtendedErrorCode()}};
  // A full disk appears as SQLITE_FULL or, if a side file could not grow, as an I/O error.
  const int system = database == nullptr ? 0 : sqlite3_system_errno(database->getHandle());
  switch (error.getErrorCode() & 0xff) {
    case SQLITE_FULL:
      return Error(ErrorCode::kStorageFull, detail, context);
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB:
      return LedgerCorrupt(file, std::string("is damaged (") + error.what() +
                                     "): stop the broker, keep a copy of the file, and put a "
                                     "backup or the result of `sqlite3 " +
                                     file.string() + " .recover` in its place");
    case SQLITE_IOERR:
      return Error(
          system == ENOSPC || system == EDQUOT ? ErrorCode::kStorageFull : ErrorCode::kStorageError,
          detail, context);
    case SQLITE_CANTOPEN:
    case SQLITE_READONLY:
    case SQLITE_PERM:
    case SQLITE_BUSY:
    case SQLITE_LOCKED:
    case SQLITE_NOMEM:
      return Error(ErrorCode::kStorageError, detail, context);
    default:
      return Error(ErrorCode::kInternal, detail, context);
  }
}

}  // namespace millrace::broker
