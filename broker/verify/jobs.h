#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include "broker/verify/findings.h"

namespace millrace::broker {

// Call these in one transaction, so that they see the same moment.

// Checks that the rows of each job agree: its state with its tasks and attempts, its published
// fence with an attempt that succeeded, its generation with its dead letters.
void CheckJobs(SQLite::Database& database, Findings& findings);

// Checks that the counter of fences is not behind any fence in use.
void CheckFences(SQLite::Database& database, Findings& findings);

}  // namespace millrace::broker
