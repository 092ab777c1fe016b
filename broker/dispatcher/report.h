#pragma once

#include <string>

#include "broker/dispatcher/job_table.h"
#include "core/base/clock.h"
#include "core/base/error.h"
#include "core/media/media_store.h"

namespace millrace::broker {

// Whether the work folder of an ended attempt is kept until its job has ended: a dead letter needs
// the log of an encode that failed. Nobody needs what a lost, released or cancelled one left.
bool KeepsFolder(const Attempt& attempt);

// What goes into the dead-letter folder of a job that failed for `cause`; report.json is described
// in docs/dead-letters.md.
DeadLetter MakeDeadLetter(const JobEntry& entry, const Error& cause, WallTime died_at);

// The place of that job in the queue of dead letters.
DeadLetterRecord MakeDeadLetterRecord(const JobEntry& entry, const Error& cause, WallTime died_at);

// A fact of the input that is text, e.g. its "sha256"; empty if it is not known.
std::string InputFact(const Job& job, const char* key);

}  // namespace millrace::broker
