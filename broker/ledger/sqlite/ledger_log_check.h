#pragma once

#include <filesystem>

namespace millrace::broker {

// Checks a ledger's write-ahead log, `<ledger>-wal`, before SQLite reads it.
//
// SQLite reads the log up to the first frame with a wrong checksum and takes the rest for the torn
// end of the last commit. After a loss of power that is right, but a bit that flipped earlier in
// the log silently costs every commit behind it. A commit is written only after the one before it
// has reached the disk, which tells the two cases apart: if two whole commits follow a broken frame
// in one unbroken chain of checksums, durable commits are lost. (Frames left by a failed commit
// make at most one commit in a chain.) Damage within the last commit cannot be told from a torn
// end.
//
// Format: https://www.sqlite.org/fileformat2.html#walformat
//
// Throws Error{kLedgerCorrupt} naming `ledger` and what to do, or Error{kStorageError} if the log
// cannot be read. Accepts a missing or empty log.
void CheckLedgerLog(const std::filesystem::path& ledger);

}  // namespace millrace::broker
