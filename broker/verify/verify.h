#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "broker/verify/findings.h"

namespace millrace::broker {

// Checks that a data folder keeps Millrace's promises:
//
// - the ledger's file is whole, indexes and references included;
// - the event numbers have no gap and no repeat, and the events of each job lead, by the table of
//   transitions, to the state and generation that the job is in;
// - tasks, attempts, fences and dead letters fit their job's state, and no fence was given twice;
// - every published output is there, with its size and SHA-256, and nothing else is published;
// - every dead letter that is in the queue has its folder, and every open job its upload.
//
// Changes nothing, except that it creates missing folders of the media store. May run beside a
// broker: each part looks at one moment, and looks again at anything that a running service may
// have been changing. Leftovers that await cleaning are not reported. Takes as long as reading
// every published byte takes.
// Throws Error{kInvalidRequest} if the folder has no ledger of this build's version, and
// Error{kStorageError} if something cannot be read at all.
Findings VerifyDataFolder(const std::filesystem::path& data_dir);

// Prints one line per finding and a summary.
void PrintFindings(const Findings& findings, std::ostream& out);
// {"ok", "findings": [{"check", "subject", "detail"}], "findings_total", "looked_at": {what:
// count}}.
nlohmann::json ToJson(const Findings& findings);

}  // namespace millrace::broker
