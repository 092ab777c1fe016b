#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include "broker/verify/findings.h"

namespace millrace::broker {

// Call these in one transaction, so that they see the same moment.

// Checks that the numbers of present and removed events together are all the numbers ever given
// out.
void CheckSequence(SQLite::Database& database, Findings& findings);

// Replays the events of each job through the table of transitions (core/model/job.h). They must
// lead to the job's state and generation, or to a terminal state if the job was removed.
void CheckEvents(SQLite::Database& database, Findings& findings);

}  // namespace millrace::broker
