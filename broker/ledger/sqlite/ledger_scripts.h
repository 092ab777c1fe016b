#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <span>

namespace millrace::broker {

// One step in the history of the ledger's schema; ledger_schema.h has the recipe for the next.
// `fill` derives the values that SQL alone cannot; nullptr: there are none. Both run in one
// transaction.
struct SchemaStep {
  const char* script;
  void (*fill)(SQLite::Database& database);
};

// The step at index N leads from version N to N + 1.
std::span<const SchemaStep> SchemaSteps();

}  // namespace millrace::broker
