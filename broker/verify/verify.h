#pragma once

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "broker/verify/findings.h"

namespace millrace::broker {

// Whether what a data folder holds is what Millrace promises:
//
// - the ledger's file is whole, indexes and references included;
// - the event numbers have no gap and no repeat, and the events of each job lead, by the table of
//   transitions, to the state and generation that the job is in;
// - tasks, attempts, fences and dead letters fit their job's state, and no fence was given twice;
// - every published output is there, with its size and SHA-256, and nothing else is published;
// - every dead letter that is in the queue has its folder, and every open job its upload.
//
// Changes nothing (but makes the media store's folders if they are not there), and may run beside a
// broker: each part looks at one moment, and what a running service was just about to change is
// looked at twice. What has merely not been cleared away yet is no finding. Reads every published
// byte, so it takes as long as that takes.
//
// Throws Error{kInvalidRequest} if there is no ledger of this build's version in the folder, and
// Error{kStorageError} if something cannot be read at all.
Findings VerifyDataFolder(const std::filesystem::path& data_dir);

// A line for each finding, and one that sums up.
void PrintFindings(const Findings& findings, std::ostream& out);
// {"ok", "findings": [{"check", "subject", "detail"}], "findings_total", "looked_at": {what:
// count}}.
nlohmann::json ToJson(const Findings& findings);

}  // namespace millrace::broker
