#pragma once

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <string>

namespace millrace::bench {

// Measures the limit of the disk: the submissions a second that SQLite alone makes durable. Inserts
// copies of the rows of `job_id` under new ids into a copy of the broker's `ledger`, in the same
// folder, with the ledger's own settings (WAL, synchronous=FULL), `batch` submissions a
// transaction. REQUIRES: the broker has stopped; the job has not changed since it was accepted.
double MeasureDiskLimit(const std::filesystem::path& ledger, const std::string& job_id,
                        size_t batch, std::chrono::milliseconds duration);

}  // namespace millrace::bench
