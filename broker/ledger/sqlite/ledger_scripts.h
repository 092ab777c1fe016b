#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <span>

namespace millrace::broker {

// How the ledger's tables came to be, version by version; ledger_schema.h has the recipe for the
// next one. `fill` derives what SQL alone cannot; nullptr: nothing. Both run in one transaction.
struct SchemaStep {
  const char* script;
  void (*fill)(SQLite::Database& database);
};

// The step at index N leads from version N to N + 1.
std::span<const SchemaStep> SchemaSteps();

}  // namespace millrace::broker
