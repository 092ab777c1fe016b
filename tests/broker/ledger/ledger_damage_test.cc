#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <memory>

#include "broker/ledger/ledger.h"
#include "core/base/files.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::SizeIs;

constexpr size_t kPageBytes = 4096;
constexpr size_t kLogHeaderBytes = 32;
constexpr size_t kFrameBytes = kPageBytes + 24;

// Damages the files of a ledger while no broker runs. Opening it must either refuse with a readable
// message or find everything that was committed.
class LedgerDamageTest : public testing::Test {
 protected:
  // Makes commits in another process, which is killed before it closes the ledger. Returns the ids
  // of the jobs, one a commit.
  // `open`: how that process opens the ledger.
  std::vector<std::string> CommitAndDie(
      int commits, const std::function<std::unique_ptr<Ledger>()>& open = nullptr) {
    std::vector<Job> jobs;
    std::vector<std::string> ids;
    for (int i = 0; i < commits; ++i) {
      jobs.push_back(samples::SmallJob(samples::At(i)));
      ids.push_back(jobs.back().id);
    }
    const pid_t child = fork();
    if (child == 0) {
      const auto ledger = open ? open() : OpenSqliteLedger(file_);
      for (const Job& job : jobs) ledger->Commit({InsertJob{job}});
      raise(SIGKILL);
    }
    int status = 0;
    EXPECT_EQ(waitpid(child, &status, 0), child);
    EXPECT_TRUE(WIFSIGNALED(status));
    return ids;
  }

  void CommitAndClose(int jobs) {
    const auto ledger = OpenSqliteLedger(file_);
    std::vector<LedgerChange> changes;
    for (int i = 0; i < jobs; ++i) changes.emplace_back(InsertJob{samples::SmallJob()});
    ledger->Commit(changes);
  }

  static void Flip(const std::filesystem::path& file, size_t position) {
    std::fstream stream(file, std::ios::in | std::ios::out | std::ios::binary);
    stream.seekg(static_cast<std::streamoff>(position));
    const int byte = stream.get();
    stream.seekp(static_cast<std::streamoff>(position));
    stream.put(static_cast<char>(byte ^ 0x15));
  }

  // Returns the log up to its last commit; behind it are frames from before the log last restarted.
  static std::string CurrentPart(const std::string& log) {
    size_t end = kLogHeaderBytes;
    while (end < log.size() && log.compare(end + 8, 8, log, 16, 8) == 0) end += kFrameBytes;
    return log.substr(0, end);
  }

  // Returns why the ledger was refused; empty: it was not.
  std::string Refusal() {
    try {
      OpenSqliteLedger(file_)->Load();
      return "";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kLedgerCorrupt);
      EXPECT_THAT(error.what(), HasSubstr(file_.string()));
      return error.what();
    }
  }

  TempDir dir_;
  const std::filesystem::path file_ = dir_.path() / "ledger.db";
  const std::filesystem::path log_ = dir_.path() / "ledger.db-wal";
};

TEST_F(LedgerDamageTest, AKilledBrokersCommitsAreThere) {
  const auto ids = CommitAndDie(5);
  EXPECT_THAT(OpenSqliteLedger(file_)->Load().jobs, SizeIs(5));
}

TEST_F(LedgerDamageTest, ATruncatedFileIsRefusedWhereverItWasCut) {
  CommitAndClose(100);
  const std::string whole = ReadWholeFile(file_);
  for (const size_t bytes : {whole.size() - 1, whole.size() - kPageBytes, whole.size() / 2,
                             5 * kPageBytes, kPageBytes, size_t{100}}) {
    WriteFileDurably(file_, whole.substr(0, bytes));
    EXPECT_THAT(Refusal(), AllOf(HasSubstr("damaged"), HasSubstr("backup"))) << bytes;
  }
}

TEST_F(LedgerDamageTest, AFlippedByteInThePartThatOrdersAPageIsRefused) {
  CommitAndClose(100);
  const std::string whole = ReadWholeFile(file_);
  ASSERT_GT(whole.size(), 20 * kPageBytes);
  // Damage the kind of page, the number of its cells and the start of its content.
  for (size_t page = 1; page < whole.size() / kPageBytes; ++page) {
    for (const size_t offset : {0, 3, 4}) {
      WriteFileDurably(file_, whole);
      Flip(file_, page * kPageBytes + offset);
      const std::string refusal = Refusal();
      // An overflow page of a long text has no such header.
      const bool overflow = whole[page * kPageBytes] == 0;
      EXPECT_TRUE(overflow || refusal.find("damaged") != std::string::npos)
          << "page " << page << ", byte " << offset;
    }
  }
}

TEST_F(LedgerDamageTest, AFlippedByteThatTearsTheTextOfAnOpenJobIsRefused) {
  CommitAndClose(1);
  // Flip the first brace of the request.
  Flip(file_, ReadWholeFile(file_).find("{\"external_id\""));
  EXPECT_THAT(Refusal(), HasSubstr("has a row that cannot be read"));
}

TEST_F(LedgerDamageTest, ALogThatIsGoneIsNoticed) {
  CommitAndDie(5);
  std::filesystem::remove(log_);
  EXPECT_THAT(Refusal(), AllOf(HasSubstr("write-ahead log"), HasSubstr("put it back")));
  // Try again: a refusal must not repair or hide the damage.
  EXPECT_THAT(Refusal(), HasSubstr("write-ahead log"));
}

TEST_F(LedgerDamageTest, ALogThatIsGoneIsNoticedAlsoAfterAStartOnAFullDisk) {
  CommitAndClose(1);
  CommitAndDie(1, [this] {
    rlimit before{};
    getrlimit(RLIMIT_FSIZE, &before);
    rlimit limited = before;
    // Leave room for SQLite's side files, but none for the page that holds the note.
    limited.rlim_cur = 32768;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &limited);
    auto ledger = OpenSqliteLedger(file_);
    setrlimit(RLIMIT_FSIZE, &before);
    return ledger;
  });
  std::filesystem::remove(log_);
  EXPECT_THAT(Refusal(), HasSubstr("write-ahead log"));
}

TEST_F(LedgerDamageTest, ALogThatIsEmptiedIsNoticed) {
  CommitAndDie(5);
  std::filesystem::resize_file(log_, 0);
  EXPECT_THAT(Refusal(), HasSubstr("write-ahead log"));
}

TEST_F(LedgerDamageTest, WhatTheMessageSaysLetsTheBrokerGoOn) {
  CommitAndDie(5);
  std::filesystem::remove(log_);
  ASSERT_NE(Refusal(), "");
  SQLite::Database(file_, SQLite::OPEN_READWRITE)
      .exec("DELETE FROM counters WHERE name = 'opened'");
  EXPECT_EQ(Refusal(), "");
}

TEST_F(LedgerDamageTest, ALedgerThatWasClosedNeedsNoLog) {
  CommitAndClose(5);
  EXPECT_FALSE(std::filesystem::exists(log_));
  EXPECT_EQ(Refusal(), "");
}

TEST_F(LedgerDamageTest, ACopyWithoutALogIsOpened) {
  CommitAndDie(5);
  { const auto recovered = OpenSqliteLedger(file_); }
  CommitAndDie(1);
  const std::filesystem::path backup = dir_.path() / "backup.db";
  SQLite::Database(file_, SQLite::OPEN_READWRITE).exec("VACUUM INTO '" + backup.string() + "'");
  EXPECT_THAT(OpenSqliteLedger(backup)->Load().jobs, SizeIs(6));
}

TEST_F(LedgerDamageTest, AFlippedByteAnywhereInTheLogIsRefusedUnlessItIsInTheLastCommit) {
  const auto ids = CommitAndDie(8);
  const std::string file = ReadWholeFile(file_);
  const std::string log = ReadWholeFile(log_);
  int refused = 0;
  // Step so that every field of the frames' headers is hit at some point.
  for (size_t position = 8; position < log.size(); position += 2473) {
    WriteFileDurably(file_, file);
    WriteFileDurably(log_, log);
    std::filesystem::remove(file_.string() + "-shm");
    Flip(log_, position);
    const std::string refusal = Refusal();
    if (!refusal.empty()) {
      ++refused;
      EXPECT_THAT(refusal, AllOf(HasSubstr("write-ahead log"), HasSubstr("is damaged")));
      continue;
    }
    // The ledger was accepted: all but the last commit must be there.
    const auto ledger = OpenSqliteLedger(file_);
    for (size_t i = 0; i + 1 < ids.size(); ++i) {
      EXPECT_TRUE(ledger->FindJob(ids[i]).has_value()) << "commit " << i << ", byte " << position;
    }
  }
  EXPECT_GT(refused, 20);
}

TEST_F(LedgerDamageTest, ALogThatWasTornInItsLastCommitIsRecovered) {
  const auto ids = CommitAndDie(8);
  const std::string file = ReadWholeFile(file_);
  const std::string log = CurrentPart(ReadWholeFile(log_));
  ASSERT_GT(log.size(), kLogHeaderBytes + 8 * kFrameBytes);
  for (const size_t missing : {size_t{1}, size_t{100}, kFrameBytes - 1, kFrameBytes}) {
    WriteFileDurably(file_, file);
    WriteFileDurably(log_, log.substr(0, log.size() - missing));
    std::filesystem::remove(file_.string() + "-shm");
    EXPECT_THAT(OpenSqliteLedger(file_)->Load().jobs, SizeIs(7)) << missing;
  }
}

}  // namespace
}  // namespace millrace::broker
