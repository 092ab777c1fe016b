#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <cstdint>
#include <filesystem>
#include <vector>

namespace millrace::broker {

// Returns the sequence numbers of all events in a ledger's file, in order.
inline std::vector<int64_t> EventSequences(const std::filesystem::path& ledger) {
  SQLite::Database database(ledger.string(), SQLite::OPEN_READONLY);
  SQLite::Statement query(database, "SELECT sequence FROM events ORDER BY sequence");
  std::vector<int64_t> sequences;
  while (query.executeStep()) sequences.push_back(query.getColumn(0).getInt64());
  return sequences;
}

}  // namespace millrace::broker
