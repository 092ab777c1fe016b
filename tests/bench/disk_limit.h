#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>

namespace millrace::bench {

// What the disk allows: how many submissions a second SQLite alone makes durable, with no service
// around it. `ledger` is one that the broker has written, holding the job `job_id` as it was
// accepted and not touched since; a copy of it in the same folder gets that job's rows again and
// again under new ids, in transactions of `batch` submissions with the ledger's own settings
// (WAL, synchronous=FULL). REQUIRES: the broker has stopped.
double MeasureDiskLimit(const std::filesystem::path& ledger, const std::string& job_id,
                        size_t batch, std::chrono::milliseconds duration);

}  // namespace millrace::bench
