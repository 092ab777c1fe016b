#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include "broker/verify/findings.h"

namespace millrace::broker {

// To be called in a transaction, so that they see one moment.

// Whether the rows of each job fit one another: its tasks and attempts its state, its published
// fence an attempt that succeeded, its letters its generation.
void CheckJobs(SQLite::Database& database, Findings& findings);

// Whether the counter of fences is ahead of every fence in use.
void CheckFences(SQLite::Database& database, Findings& findings);

}  // namespace millrace::broker
