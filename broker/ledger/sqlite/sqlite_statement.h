#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "core/base/clock.h"
#include "core/base/error.h"

namespace millrace::broker {

// One execution of a prepared statement: bind the parameters in order, then run it or step through
// the rows. The destructor resets the statement, so that a forgotten read cannot keep the
// write-ahead log from being emptied. Lives on the stack; the statement must outlive it.
class Execution {
 public:
  explicit Execution(SQLite::Statement& statement) : statement_(statement) {
    statement_.tryReset();
  }
  ~Execution() { statement_.tryReset(); }
  Execution(const Execution&) = delete;
  Execution& operator=(const Execution&) = delete;

  // Returns to the first parameter, for the next execution.
  Execution& Restart();
  Execution& Text(std::string_view value);
  Execution& Integer(int64_t value);
  Execution& Time(WallTime value);
  Execution& OptionalTime(const std::optional<WallTime>& value);
  // Stores null as NULL.
  Execution& Json(const nlohmann::json& value);

  // Returns the number of rows changed.
  int Run() { return statement_.exec(); }
  // Returns false after the last row.
  bool Step() { return statement_.executeStep(); }
  SQLite::Statement& statement() { return statement_; }

 private:
  SQLite::Statement& statement_;
  int next_ = 1;
};

// A statement for rare use: compiled, executed once and discarded.
class OneTime {
 public:
  OneTime(SQLite::Database& database, const std::string& sql)
      : statement_(database, sql), execution_(statement_) {}

  Execution& operator*() { return execution_; }
  Execution* operator->() { return &execution_; }

 private:
  SQLite::Statement statement_;
  Execution execution_;
};

// Reads the columns of an execution's current row, in order.
class RowReader {
 public:
  explicit RowReader(Execution& execution) : statement_(execution.statement()) {}

  std::string Text();
  int64_t Integer();
  int Int() { return static_cast<int>(Integer()); }
  WallTime Time();
  std::optional<WallTime> OptionalTime();
  nlohmann::json Json();

 private:
  SQLite::Statement& statement_;
  int next_ = 0;
};

// Converts to microseconds since 1970.
int64_t ToMicroseconds(WallTime time);
WallTime FromMicroseconds(int64_t microseconds);

// Converts SQLite's error to an Error that names the file: storage_full, storage_error,
// ledger_corrupt (with what to do) or internal.
Error TranslateSqliteError(const SQLite::Exception& error, SQLite::Database* database,
                           const std::filesystem::path& file);
Error LedgerCorrupt(const std::filesystem::path& file, const std::string& detail);

}  // namespace millrace::broker
