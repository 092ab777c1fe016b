#pragma once

#include <optional>
#include <string>
#include <vector>

#include "broker/dispatcher/dispatcher.h"
#include "broker/ledger/ledger.h"
#include "core/model/message.h"

namespace millrace::broker {

// At most this many letters are redriven or purged at once.
inline constexpr size_t kMaxLettersAtOnce = 10'000;

// Reads the filter of dead_letters, dead_letter_groups, redrive_many or purge_many: the body of the
// first two, the field `filter` of the others. Throws Error{kInvalidRequest} naming every wrong
// field.
DeadLetterFilter ParseDeadLetterFilter(const nlohmann::json& body);

// A job that has ended with its newest dead letter, as the dispatcher is handed it; nullopt if the
// ledger has no such job or it has never been dead.
std::optional<DeadJob> ReadDeadJob(Ledger& ledger, const std::string& job_id);
std::vector<DeadJob> ReadDeadJobs(Ledger& ledger, const std::vector<std::string>& job_ids);

// The jobs that a redrive, redrive_many, purge or purge_many is about, oldest letter first.
std::vector<DeadJob> ReadDeadJobsOf(Ledger& ledger, const Message& request);

}  // namespace millrace::broker
