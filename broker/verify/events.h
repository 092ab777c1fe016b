#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include "broker/verify/findings.h"

namespace millrace::broker {

// To be called in a transaction, so that they see one moment.

// Whether the numbers of the events that are there and of those that were removed make up every
// number that was ever given out.
void CheckSequence(SQLite::Database& database, Findings& findings);

// Replays the events of each job through the table of transitions (core/model/job.h): they must
// lead to the state and generation of the job, or to an end if the job was removed.
void CheckEvents(SQLite::Database& database, Findings& findings);

}  // namespace millrace::broker
