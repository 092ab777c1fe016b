#pragma once

#include <filesystem>

namespace millrace::bench {

// Measures a plain SQLite program that takes over a ledger as a broker does: returns the seconds to
// open the ledger of a killed broker (SQLite recovers its log), to check it (quick_check), and to
// read every open job with its tasks and attempts. Works on a copy in `scratch`. REQUIRES: no
// broker runs on the ledger.
double MeasurePlainRecovery(const std::filesystem::path& ledger,
                            const std::filesystem::path& scratch);

}  // namespace millrace::bench
