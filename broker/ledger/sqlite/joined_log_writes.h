#pragma once

#include <string>

namespace millrace::broker {

// Registers a SQLite VFS, once per process, and returns the name to open a database with. It is the
// system's VFS except for the write-ahead log: it holds back the pieces that SQLite writes, two per
// page, and writes them together before the log is synced or read. Without it the commit of one
// submission makes 26 writes, which take a tenth of its processor time. If a joined write fails,
// the sync reports it as an error of SQLite's own. REQUIRES of that database: synchronous=FULL, so
// that SQLite syncs the log before it relies on what it wrote.
const std::string& JoinedLogWrites();

}  // namespace millrace::broker
