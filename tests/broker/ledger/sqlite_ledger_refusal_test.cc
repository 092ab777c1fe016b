#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <fstream>

#include "broker/ledger/ledger.h"
#include "broker/ledger/sqlite/ledger_schema.h"
#include "core/base/files.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

using testing::AllOf;
using testing::HasSubstr;

// Tests files that the ledger refuses to open, and disks that refuse the ledger.
class SqliteLedgerRefusalTest : public testing::Test {
 protected:
  // Expects that opening is refused with a readable message and leaves the file untouched.
  void ExpectRefused(const testing::Matcher<std::string>& message) {
    const std::string before = ReadWholeFile(file_);
    try {
      OpenSqliteLedger(file_);
      ADD_FAILURE() << "was opened";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kLedgerCorrupt);
      EXPECT_THAT(error.what(), AllOf(HasSubstr(file_.string()), message));
    }
    EXPECT_EQ(ReadWholeFile(file_), before);
  }

  TempDir dir_;
  const std::filesystem::path file_ = dir_.path() / "ledger.db";
};

TEST_F(SqliteLedgerRefusalTest, RefusesAFileThatIsNoDatabase) {
  std::ofstream(file_) << std::string(5000, 'x');
  ExpectRefused(AllOf(HasSubstr("damaged"), HasSubstr("backup")));
}

TEST_F(SqliteLedgerRefusalTest, RefusesADatabaseOfAnotherProgram) {
  SQLite::Database(file_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
      .exec("CREATE TABLE songs (name TEXT)");
  ExpectRefused(HasSubstr("another program"));
}

TEST_F(SqliteLedgerRefusalTest, RefusesANewerSchema) {
  OpenSqliteLedger(file_).reset();
  const int newer = LedgerSchemaVersion() + 1;
  SQLite::Database(file_, SQLite::OPEN_READWRITE)
      .exec("PRAGMA user_version = " + std::to_string(newer));
  ExpectRefused(AllOf(HasSubstr("version " + std::to_string(newer)), HasSubstr("newer build")));
}

TEST_F(SqliteLedgerRefusalTest, RefusesADamagedFile) {
  {
    const auto ledger = OpenSqliteLedger(file_);
    std::vector<LedgerChange> changes;
    for (int i = 0; i < 200; ++i) changes.emplace_back(InsertJob{samples::SmallJob()});
    ledger->Commit(changes);
  }
  {
    // Write zeroes over pages in the middle, as a bad disk would.
    std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(40 * 4096);
    file << std::string(3 * 4096, '\0');
  }
  ExpectRefused(AllOf(HasSubstr("damaged"), HasSubstr(".recover")));
}

TEST_F(SqliteLedgerRefusalTest, RefusesAConnectionThatWillNeverWrite) {
  OpenSqliteLedger(file_).reset();
  // SQLite falls back to this mode if the disk fails while the file is opened for writing.
  SQLite::Database database(file_, SQLite::OPEN_READONLY);
  try {
    NoteLedgerOpened(database, file_);
    ADD_FAILURE() << "was taken";
  } catch (const ReadOnlyLedger& error) {
    EXPECT_THAT(error.what(), AllOf(HasSubstr(file_.string()), HasSubstr("not written")));
  }
}

TEST_F(SqliteLedgerRefusalTest, OpensAnEmptyFileThatACrashLeftBehind) {
  std::ofstream(file_).close();
  EXPECT_NO_THROW(OpenSqliteLedger(file_)->Load());
}

TEST_F(SqliteLedgerRefusalTest, NamesAFolderThatCannotBeMade) {
  std::ofstream(dir_.path() / "file").close();
  EXPECT_THROW(OpenSqliteLedger(dir_.path() / "file" / "ledger.db"), Error);
}

// Limits the size to which this process can grow any file, until destroyed.
class FileSizeLimit {
 public:
  explicit FileSizeLimit(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit limited = before_;
    limited.rlim_cur = bytes;
    old_handler_ = std::signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limited);
  }
  ~FileSizeLimit() {
    setrlimit(RLIMIT_FSIZE, &before_);
    std::signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit before_{};
  void (*old_handler_)(int) = nullptr;
};

constexpr int kLargeBatch = 3000;

// Makes a batch of several MiB.
std::vector<LedgerChange> LargeBatch(const Job& first) {
  std::vector<LedgerChange> changes = {InsertJob{first}};
  for (int i = 1; i < kLargeBatch; ++i) changes.emplace_back(InsertJob{samples::SmallJob()});
  return changes;
}

TEST_F(SqliteLedgerRefusalTest, ACommitThatCannotBeWrittenLeavesNothing) {
  const auto ledger = OpenSqliteLedger(file_);
  const Job before = samples::SmallJob();
  ledger->Commit({InsertJob{before}});
  const Job job = samples::SmallJob();
  {
    const FileSizeLimit limit(256 * 1024);
    try {
      ledger->Commit(LargeBatch(job));
      ADD_FAILURE() << "was committed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kStorageError) << error.what();
    }
    EXPECT_EQ(ledger->FindJob(job.id), std::nullopt);
    EXPECT_EQ(ledger->Load().jobs.size(), 1U);
  }
  // The same connection works again once there is room.
  ledger->CheckWritable();
  ledger->Commit(LargeBatch(job));
  EXPECT_EQ(ledger->Load().jobs.size(), kLargeBatch + 1U);
}

TEST_F(SqliteLedgerRefusalTest, SaysThatTheDiskIsFull) {
  const std::filesystem::path disk = dir_.path() / "disk";
  std::filesystem::create_directory(disk);
  if (::mount("tmpfs", disk.c_str(), "tmpfs", 0, "size=1m") != 0) {
    GTEST_SKIP() << "needs the right to mount a small file system";
  }
  {
    const auto ledger = OpenSqliteLedger(disk / "ledger.db");
    const Job job = samples::SmallJob();
    try {
      ledger->Commit(LargeBatch(job));
      ADD_FAILURE() << "was committed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kStorageFull) << error.what();
    }
    EXPECT_EQ(ledger->FindJob(job.id), std::nullopt);
  }
  EXPECT_EQ(::umount(disk.c_str()), 0);
}

}  // namespace
}  // namespace millrace::broker
