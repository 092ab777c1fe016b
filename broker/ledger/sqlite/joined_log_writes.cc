#include "broker/ledger/sqlite/joined_log_writes.h"

#include <sqlite3.h>

#include <memory>
#include <new>
#include <stdexcept>
#include <string_view>

namespace millrace::broker {
namespace {

// The most bytes to hold back. SQLite's unix VFS writes less than 128 KiB at a time and reports a
// longer write as a full disk.
constexpr size_t kMaxHeldBytes = size_t{120} << 10;

sqlite3_vfs* System() { return sqlite3_vfs_find(nullptr); }

// The write-ahead log. It lives in the memory that SQLite allocates for a file of this VFS,
// followed by the system's own file. SQLite uses it from one thread at a time.
class LogFile {
 public:
  static LogFile& Of(sqlite3_file* file) { return *reinterpret_cast<LogFile*>(file); }

  explicit LogFile(const sqlite3_io_methods& methods) { head_.pMethods = &methods; }

  sqlite3_file* system() { return reinterpret_cast<sqlite3_file*>(this + 1); }
  const sqlite3_io_methods& methods() { return *system()->pMethods; }

  int Write(std::string_view bytes, sqlite3_int64 place) {
    const bool follows = place == held_at_ + static_cast<sqlite3_int64>(held_.size());
    if (!follows || held_.size() + bytes.size() > kMaxHeldBytes) {
      if (const int failed = Flush(); failed != SQLITE_OK) return failed;
    }
    if (held_.empty()) held_at_ = place;
    held_.append(bytes);
    return SQLITE_OK;
  }

  // Drops the held bytes if they cannot be written; SQLite then gives up the transaction.
  int Flush() {
    if (held_.empty()) return SQLITE_OK;
    const int result =
        methods().xWrite(system(), held_.data(), static_cast<int>(held_.size()), held_at_);
    held_.clear();
    return result;
  }

 private:
  sqlite3_file head_{};  // first: it is what SQLite sees
  std::string held_;
  sqlite3_int64 held_at_ = 0;
};
static_assert(sizeof(LogFile) % alignof(void*) == 0);  // the system's file is aligned

// Writes the held bytes, then calls the method of the system's file.
template <auto kMethod, typename... Arguments>
int FlushThen(sqlite3_file* file, Arguments... arguments) {
  LogFile& log = LogFile::Of(file);
  if (const int failed = log.Flush(); failed != SQLITE_OK) return failed;
  return (log.methods().*kMethod)(log.system(), arguments...);
}

template <auto kMethod, typename... Arguments>
int PassOn(sqlite3_file* file, Arguments... arguments) {
  LogFile& log = LogFile::Of(file);
  return (log.methods().*kMethod)(log.system(), arguments...);
}

int Close(sqlite3_file* file) {
  LogFile& log = LogFile::Of(file);
  const int flushed = log.Flush();
  const int closed = log.methods().xClose(log.system());
  std::destroy_at(&log);
  return flushed == SQLITE_OK ? closed : flushed;
}

int Write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 place) {
  return LogFile::Of(file).Write({static_cast<const char*>(bytes), static_cast<size_t>(count)},
                                 place);
}

using Methods = sqlite3_io_methods;
constexpr Methods kLogMethods = {
    .iVersion = 1,
    .xClose = Close,
    .xRead = FlushThen<&Methods::xRead, void*, int, sqlite3_int64>,
    .xWrite = Write,
    .xTruncate = FlushThen<&Methods::xTruncate, sqlite3_int64>,
    .xSync = FlushThen<&Methods::xSync, int>,
    .xFileSize = FlushThen<&Methods::xFileSize, sqlite3_int64*>,
    .xLock = PassOn<&Methods::xLock, int>,
    .xUnlock = PassOn<&Methods::xUnlock, int>,
    .xCheckReservedLock = PassOn<&Methods::xCheckReservedLock, int*>,
    .xFileControl = FlushThen<&Methods::xFileControl, int, void*>,
    .xSectorSize = PassOn<&Methods::xSectorSize>,
    .xDeviceCharacteristics = PassOn<&Methods::xDeviceCharacteristics>,
};

int Open(sqlite3_vfs* /*vfs*/, const char* name, sqlite3_file* file, int flags, int* out_flags) {
  if ((flags & SQLITE_OPEN_WAL) == 0)
    return System()->xOpen(System(), name, file, flags, out_flags);
  // The methods stay unset, and so is Close() uncalled, unless the file could be opened.
  LogFile* log = new (file) LogFile(kLogMethods);
  const int opened = System()->xOpen(System(), name, log->system(), flags, out_flags);
  if (opened != SQLITE_OK) {
    std::destroy_at(log);
    file->pMethods = nullptr;
  }
  return opened;
}

// Inherits everything except opening from the system's VFS.
const char* Register() {
  static sqlite3_vfs joined = *System();
  joined.zName = "joined-log-writes";
  joined.pNext = nullptr;
  joined.szOsFile += static_cast<int>(sizeof(LogFile));
  joined.xOpen = Open;
  if (sqlite3_vfs_register(&joined, /*makeDflt=*/0) != SQLITE_OK) {
    throw std::runtime_error("SQLite does not take another VFS");
  }
  return joined.zName;
}

}  // namespace

const std::string& JoinedLogWrites() {
  static const std::string name = Register();
  return name;
}

}  // namespace millrace::broker
