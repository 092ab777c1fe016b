#pragma once

#include <filesystem>

namespace millrace::broker {

// Looks at a ledger's write-ahead log, `<ledger>-wal`, before SQLite does.
//
// SQLite reads the log up to the first frame whose checksum is wrong and takes the rest for the
// torn end of the last commit. That is what it is after a loss of power; but a bit that flipped
// further in front silently costs every commit behind it. The two can be told apart: a commit is
// written only after the one before it has reached the disk. So if behind a broken frame there are
// two whole commits in one unbroken chain of checksums, commits that were durable are lost.
// (Frames that a failed commit left behind make at most one in a chain.) What breaks within the
// last commit cannot be told from a torn end.
//
// Format: https://www.sqlite.org/fileformat2.html#walformat
//
// Throws Error{kLedgerCorrupt} naming `ledger` and what to do, Error{kStorageError} if the log
// cannot be read. A log that is not there, or empty, is none of its business.
void CheckLedgerLog(const std::filesystem::path& ledger);

}  // namespace millrace::broker
