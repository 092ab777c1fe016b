#pragma once

#include <filesystem>

namespace millrace::bench {

// What a plain SQLite program needs to be where a broker is when it has taken over its ledger:
// seconds to open the ledger that a killed broker left behind (SQLite recovers its log), to check
// it (quick_check) and to read every open job with its tasks and attempts. Works on a copy in
// `scratch`; the ledger stays as it is. REQUIRES: no broker runs on it.
double MeasurePlainRecovery(const std::filesystem::path& ledger,
                            const std::filesystem::path& scratch);

}  // namespace millrace::bench
