#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>

#include "broker/verify/findings.h"

namespace millrace::broker {

// Checks that the files in the ledger exist: the outputs of every job that succeeded, with their
// SHA-256 and no others; the folder of every open dead letter; the upload of every job that has not
// ended. Holds no transaction while it reads files, so changes by a running service are not
// reported. Throws Error{kStorageError} for a file that exists but cannot be read.
void CheckMedia(SQLite::Database& database, const std::filesystem::path& data_dir,
                Findings& findings);

}  // namespace millrace::broker
