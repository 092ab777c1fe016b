#pragma once

#include <string>

namespace millrace::broker {

// Registers a SQLite VFS, once a process. It is the system's own except for the write-ahead log: it
// holds back the pieces that SQLite writes, two a page, and writes them in one before the log is
// synced or read. Without it the commit of one submission makes 26 writes, a tenth of its processor
// time. A joined write that fails is reported by the sync, as SQLite's own error.
// Returns the name to open a database with. REQUIRES of that database: synchronous=FULL, so that
// SQLite syncs the log before it relies on what it wrote.
const std::string& JoinedLogWrites();

}  // namespace millrace::broker
