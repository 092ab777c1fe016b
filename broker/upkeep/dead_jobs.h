#pragma once

#include <optional>
#include <string>
#include <vector>

#include "broker/dispatcher/outcome.h"
#include "broker/ledger/ledger.h"

namespace millrace::broker {

// At most this many letters are redriven or purged at once.
inline constexpr size_t kMaxLettersAtOnce = 10'000;

// Reads the filter of dead_letters, dead_letter_groups, redrive_many or purge_many. Throws
// Error{kInvalidRequest} naming every wrong field.
DeadLetterFilter ParseDeadLetterFilter(const nlohmann::json& filter);

// Returns a job that has ended, with its newest dead letter; nullopt if the ledger has no such job
// or it has never been dead.
std::optional<DeadJob> ReadDeadJob(Ledger& ledger, const std::string& job_id);
std::vector<DeadJob> ReadDeadJobs(Ledger& ledger, const std::vector<std::string>& job_ids);

// Returns the jobs whose open letters match the filter of a redrive_many or purge_many, oldest
// letter first.
std::vector<DeadJob> ReadOpenDeadJobs(Ledger& ledger, const nlohmann::json& filter);

}  // namespace millrace::broker
