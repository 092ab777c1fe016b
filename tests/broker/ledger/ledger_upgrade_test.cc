#include <SQLiteCpp/SQLiteCpp.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <csignal>

#include "broker/ledger/ledger.h"
#include "broker/ledger/sqlite/ledger_schema.h"
#include "core/base/files.h"
#include "tests/broker/event_sequences.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;

// The jobs of ledger_version1.sql, which is what a broker of that version wrote, and of the files
// of later versions.
constexpr const char* kEmptyInput = "job_01a20a838c13700180a8eaba4c804783";  // dead
constexpr const char* kNoDecoder = "job_01a20a838cc3700281d2ade9b89de767";   // dead
constexpr const char* kSucceeded = "job_01a20a838cb17000b4fa7f158e4eb177";
constexpr const char* kQueued = "job_01a20a79eb1a70009d809fcca4470a46";

class LedgerUpgradeTest : public testing::Test {
 protected:
  explicit LedgerUpgradeTest(const char* dump = MILLRACE_LEDGER_VERSION1) {
    SQLite::Database(file_, SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE).exec(ReadWholeFile(dump));
  }

  int Version() {
    return SQLite::Database(file_, SQLite::OPEN_READONLY)
        .execAndGet("PRAGMA user_version")
        .getInt();
  }

  static std::vector<std::string> SchemaOf(const std::filesystem::path& file) {
    SQLite::Database database(file, SQLite::OPEN_READONLY);
    SQLite::Statement query(database, "SELECT sql FROM sqlite_schema WHERE sql IS NOT NULL");
    std::vector<std::string> parts;
    while (query.executeStep()) parts.push_back(query.getColumn(0).getString());
    return parts;
  }
  void ExpectTheTablesOfANewFile() {
    OpenSqliteLedger(file_).reset();
    const std::filesystem::path fresh = dir_.path() / "new.db";
    OpenSqliteLedger(fresh).reset();
    EXPECT_THAT(SchemaOf(file_), testing::UnorderedElementsAreArray(SchemaOf(fresh)));
  }

  // Checks the ledger after any path of upgrades to the present version.
  void ExpectEverythingIsThere() {
    const auto ledger = OpenSqliteLedger(file_);
    EXPECT_EQ(Version(), LedgerSchemaVersion());
    const Snapshot snapshot = ledger->Load();
    ASSERT_THAT(snapshot.jobs, SizeIs(1));
    EXPECT_EQ(snapshot.jobs[0].id, kQueued);
    EXPECT_THAT(snapshot.tasks, SizeIs(1));
    EXPECT_EQ(snapshot.last_fence, 17);
    EXPECT_EQ(snapshot.last_sequence, 11);
    EXPECT_THAT(EventSequences(file_), SizeIs(11));

    const Job succeeded = ledger->FindJob(kSucceeded).value();
    EXPECT_EQ(succeeded.state, JobState::kSucceeded);
    EXPECT_EQ(succeeded.published_fence, 15);
    EXPECT_THAT(succeeded.files, SizeIs(1));
    EXPECT_EQ(succeeded.idempotency_key, "");
    EXPECT_TRUE(ledger->IsUploadNamed(succeeded.request.input.upload));
    EXPECT_THAT(ledger->TasksOf(kSucceeded), SizeIs(1));
    ExpectLetters(*ledger);
  }

  // Checks that dead jobs have the same letters as jobs that die today.
  static void ExpectLetters(Ledger& ledger) {
    const DeadLetterPage page = ledger.ListDeadLetters({});
    ASSERT_THAT(page.letters, SizeIs(2));
    const DeadLetterRecord& letter = page.letters[0];
    EXPECT_EQ(letter.job_id, kNoDecoder);
    EXPECT_EQ(page.letters[1].job_id, kEmptyInput);
    EXPECT_EQ(letter.generation, 1);
    EXPECT_EQ(letter.state, DeadLetterRecord::State::kOpen);
    EXPECT_EQ(letter.died_at, ledger.FindJob(kNoDecoder)->finished_at);
    EXPECT_EQ(letter.code, "no_decoder");
    EXPECT_EQ(letter.blame, "media");
    EXPECT_EQ(letter.detail, "there is no decoder for the codec vvc1");
    EXPECT_EQ(letter.stage, "decode");
    EXPECT_EQ(letter.codec, "vvc1");
    EXPECT_THAT(letter.signature, SizeIs(16));
    EXPECT_THAT(letter.signature_text, testing::StartsWith("no_decoder"));
    EXPECT_EQ(letter.input_name, "unsupported-vvc-h266.mp4");
    EXPECT_THAT(letter.input_sha256, SizeIs(64));
    EXPECT_EQ(letter.worker, "host/1");
  }

  TempDir dir_;
  const std::filesystem::path file_ = dir_.path() / "ledger.db";
};

TEST_F(LedgerUpgradeTest, BringsAFileOfTheFirstVersionUpToDate) {
  ASSERT_EQ(Version(), 1);
  ExpectEverythingIsThere();
  // The next start finds nothing left to upgrade.
  ExpectEverythingIsThere();
}

TEST_F(LedgerUpgradeTest, TakesCommitsAfterwards) {
  const auto ledger = OpenSqliteLedger(file_);
  Job job = ledger->FindJob(kQueued).value();
  job.state = JobState::kCancelled;
  ledger->Commit({PutJob{job}});
  EXPECT_THAT(ledger->Load().jobs, IsEmpty());
  ledger->Commit({RemoveJob{kEmptyInput}});
  EXPECT_EQ(ledger->FindDeadLetter(kEmptyInput), std::nullopt);
}

TEST_F(LedgerUpgradeTest, HasTheSameTablesAsANewFile) { ExpectTheTablesOfANewFile(); }

class LedgerUpgradeFrom2Test : public LedgerUpgradeTest {
 protected:
  LedgerUpgradeFrom2Test() : LedgerUpgradeTest(MILLRACE_LEDGER_VERSION2) {}

  static constexpr const char* kWaiting = "rdr_01a20a8400007000a0000000000000a1";
  static constexpr const char* kStopped = "rdr_01a20a8400007000a0000000000000a2";
  static constexpr const char* kReleased = "rdr_01a20a8400007000a0000000000000a3";
  static constexpr const char* kReleasedWithoutCanary = "rdr_01a20a8400007000a0000000000000a4";
};

TEST_F(LedgerUpgradeFrom2Test, BringsAFileOfTheSecondVersionUpToDate) {
  ASSERT_EQ(Version(), 2);
  ExpectEverythingIsThere();
  ExpectEverythingIsThere();
  ExpectTheTablesOfANewFile();
}

TEST_F(LedgerUpgradeFrom2Test, CountsWhatIsStillKnownOfRedrives) {
  const auto ledger = OpenSqliteLedger(file_);
  const RedriveRecord waiting = ledger->FindRedrive(kWaiting).value();
  EXPECT_EQ(waiting.count, 3);
  EXPECT_EQ(waiting.canary, kQueued);
  EXPECT_THAT(waiting.waiting, ElementsAre(kEmptyInput, kNoDecoder));
  EXPECT_THAT(ledger->Load().redrives, SizeIs(1));
  EXPECT_EQ(ledger->FindRedrive(kStopped)->count, 2);
  EXPECT_EQ(ledger->FindRedrive(kReleased)->count, 1);
  EXPECT_EQ(ledger->FindRedrive(kReleasedWithoutCanary)->count, 0);
  ledger->Commit({PutPurge{{.id = "one", .count = 1, .created_at = {}}}});
  EXPECT_TRUE(ledger->FindPurge("one").has_value());
}

class LedgerUpgradeFrom3Test : public LedgerUpgradeTest {
 protected:
  LedgerUpgradeFrom3Test() : LedgerUpgradeTest(MILLRACE_LEDGER_VERSION3) {}
};

TEST_F(LedgerUpgradeFrom3Test, BringsAFileOfTheThirdVersionUpToDate) {
  ASSERT_EQ(Version(), 3);
  ExpectEverythingIsThere();
  ExpectEverythingIsThere();
  ExpectTheTablesOfANewFile();
}

TEST_F(LedgerUpgradeFrom3Test, PlansEachJobAsTheOneTaskThatItHad) {
  const auto ledger = OpenSqliteLedger(file_);
  // The job was redriven once.
  const TaskRecord queued = ledger->Load().tasks.at(0);
  EXPECT_EQ(queued.job_id, kQueued);
  EXPECT_EQ(queued.generation, 2);
  for (const TaskRecord& task : {queued, ledger->TasksOf(kSucceeded).at(0)}) {
    EXPECT_EQ(task.kind, TaskKind::kTranscode);
    EXPECT_EQ(task.spec, std::nullopt);
    EXPECT_EQ(task.input, std::nullopt);
    EXPECT_THAT(task.dependencies, IsEmpty());
  }
}

// Opens the file in a process that is killed after `kill_at` steps of SQLite's virtual machine.
// Returns false if the upgrade finished before that.
bool UpgradeAndDieAt(const std::filesystem::path& file, int kill_at) {
  const pid_t child = fork();
  if (child == 0) {
    SQLite::Database database(file, SQLite::OPEN_READWRITE);
    static int countdown = 0;
    countdown = kill_at;
    sqlite3_progress_handler(
        database.getHandle(), 1,
        [](void*) {
          if (--countdown == 0) raise(SIGKILL);
          return 0;
        },
        nullptr);
    PrepareLedger(database, file);
    _exit(0);
  }
  int status = 0;
  EXPECT_EQ(waitpid(child, &status, 0), child);
  return WIFSIGNALED(status);
}

TEST_F(LedgerUpgradeTest, LosesNothingWhenItIsKilledAnywhereInTheUpgrade) {
  const std::string original = ReadWholeFile(file_);
  int killed = 0;
  bool was_killed = true;
  for (int at = 1; was_killed; at += 97) {
    WriteFileDurably(file_, original);
    std::filesystem::remove(file_.string() + "-wal");
    std::filesystem::remove(file_.string() + "-shm");
    was_killed = UpgradeAndDieAt(file_, at);
    killed += was_killed ? 1 : 0;
    ExpectEverythingIsThere();
    if (HasFailure()) FAIL() << "killed after " << at << " steps";
  }
  EXPECT_GT(killed, 10);
}

}  // namespace
}  // namespace millrace::broker
