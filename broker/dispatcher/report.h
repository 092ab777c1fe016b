#pragma once

#include <string>

#include "broker/dispatcher/job_table.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/media/media_store.h"

namespace millrace::broker {

// True if the work folder of an ended attempt is kept until its job has ended, as a dead letter
// needs the log of an encode that failed. Other attempts (lost, released, cancelled) leave nothing
// that anybody needs.
bool KeepsFolder(const Attempt& attempt);

// Makes the contents of the dead-letter folder of a job of which this task failed for `cause`;
// docs/dead-letters.md describes report.json.
DeadLetter MakeDeadLetter(const TaskEntry& failed, const Error& cause, WallTime died_at);

// Makes the row of that job in the queue of dead letters.
DeadLetterRecord MakeDeadLetterRecord(const JobEntry& entry, const Error& cause, WallTime died_at);

// Returns a fact of the input that is text, e.g. its "sha256"; empty if it is not known.
std::string InputFact(const Job& job, const char* key);

}  // namespace millrace::broker
