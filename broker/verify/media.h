#pragma once

#include <SQLiteCpp/SQLiteCpp.h>

#include <filesystem>

#include "broker/verify/findings.h"

namespace millrace::broker {

// Whether the files are there that the ledger speaks of: the outputs of every job that succeeded,
// with their SHA-256, and no others; the folder of every open dead letter; the upload of every job
// that has not ended. Holds no transaction while it reads files: what a running service has changed
// meanwhile is no finding. Throws Error{kStorageError} for a file that is there and cannot be read.
void CheckMedia(SQLite::Database& database, const std::filesystem::path& data_dir,
                Findings& findings);

}  // namespace millrace::broker
