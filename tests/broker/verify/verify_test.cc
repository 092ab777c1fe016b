#include "broker/verify/verify.h"

#include <fstream>
#include <sstream>

#include "core/base/files.h"
#include "tests/broker/verify/verify_fixture.h"

namespace millrace::broker {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::StartsWith;

// Tests the findings for whole folders, damaged files and a damaged ledger file.

std::string About(const char* check, const Job& job) {
  return std::string(check) + ": " + job.id + ": ";
}

TEST_F(VerifyTest, FindsNothingWrongInAHealthyFolderAndSaysWhatItLookedAt) {
  const Findings findings = VerifyDataFolder(dir_.path());
  EXPECT_EQ(findings.total(), 0);
  EXPECT_THAT(Verify(), IsEmpty());
  EXPECT_EQ(findings.looked_at().at("jobs"), 5);
  EXPECT_EQ(findings.looked_at().at("events"), 12);
  EXPECT_EQ(findings.looked_at().at("attempts"), 3);
  EXPECT_EQ(findings.looked_at().at("outputs"), 1);
  EXPECT_EQ(findings.looked_at().at("output bytes"), 7);
  EXPECT_EQ(findings.looked_at().at("dead letters"), 1);
  EXPECT_EQ(findings.looked_at().at("uploads of open jobs"), 2);
  std::ostringstream text;
  PrintFindings(findings, text);
  EXPECT_THAT(text.str(), AllOf(StartsWith("all is well"), HasSubstr("5 jobs")));
  EXPECT_EQ(ToJson(findings).at("ok"), true);
  EXPECT_THAT(ToJson(findings).at("findings"), IsEmpty());
}

TEST_F(VerifyTest, AcceptsAnEmptyLedgerAndAPrunedOne) {
  TempDir empty;
  OpenSqliteLedger(empty.path() / "ledger.db").reset();
  EXPECT_EQ(VerifyDataFolder(empty.path()).total(), 0);
  // The broker is still running and holds the file open.
  ledger_->Commit({RemoveJob{dead_.id}, RemoveJob{cancelled_.id}});
  EXPECT_THAT(Verify(), IsEmpty());
  EXPECT_GT(ledger_->PruneEvents(samples::At(1000), 1), 0U);
  EXPECT_THAT(Verify(), IsEmpty());
  EXPECT_GT(ledger_->PruneEvents(samples::At(1000), 100), 0U);
  EXPECT_THAT(Verify(), IsEmpty());
}

TEST_F(VerifyTest, AcceptsARedrivenJob) {
  Job job = dead_;
  job.state = JobState::kQueued;
  job.generation = 2;
  job.finished_at.reset();
  job.error = nullptr;
  DeadLetterRecord letter = samples::SmallLetter(dead_);
  letter.state = DeadLetterRecord::State::kRedriven;
  letter.closed_at = samples::At(90);
  TaskRecord task = ledger_->TasksOf(job.id).at(0);
  task.state = TaskState::kQueued;
  task.generation = 2;
  std::vector<LedgerChange> changes = {PutJob{job}, PutDeadLetter{letter}, PutTask{task}};
  Append(changes, job, JobEvent::kRedrive, JobState::kQueued);
  ledger_->Commit(changes);
  EXPECT_THAT(Verify(), IsEmpty());
}

TEST_F(VerifyTest, FindsAnOutputThatIsMissing) {
  std::filesystem::remove(OutputsOf(succeeded_) / "web.mp4");
  EXPECT_THAT(Verify(),
              ElementsAre(About("outputs", succeeded_) + "output web.mp4 of fence 1 is missing"));
}

TEST_F(VerifyTest, FindsAnOutputOfAnotherSize) {
  std::ofstream(OutputsOf(succeeded_) / "web.mp4", std::ios::app) << "!";
  EXPECT_THAT(Verify(), ElementsAre(About("outputs", succeeded_) +
                                    "output web.mp4 has 8 bytes, published were 7"));
}

TEST_F(VerifyTest, FindsAnOutputWithOtherBytes) {
  std::ofstream(OutputsOf(succeeded_) / "web.mp4") << "Encoded";
  EXPECT_THAT(Verify(), ElementsAre(About("outputs", succeeded_) +
                                    "output web.mp4 has another SHA-256 than was published"));
}

TEST_F(VerifyTest, FindsOutputsOfTwoFences) {
  std::filesystem::create_directory(OutputsOf(succeeded_).parent_path() / "99");
  EXPECT_THAT(Verify(), ElementsAre(StartsWith(About("outputs", succeeded_) +
                                               "has outputs of fence 99 beside those of fence 1")));
}

TEST_F(VerifyTest, FindsADeadJobWithoutAFolder) {
  std::filesystem::remove_all(media_->DeadLetterFolder(dead_.id));
  EXPECT_THAT(Verify(),
              ElementsAre(StartsWith(About("dead_letters", dead_) + "is dead, but has no")));
}

TEST_F(VerifyTest, FindsADeadLetterWithoutItsInput) {
  std::filesystem::remove(media_->DeadLetterFolder(dead_.id) / "input");
  EXPECT_THAT(Verify(), ElementsAre(AllOf(StartsWith(About("dead_letters", dead_)),
                                          HasSubstr("lacks the input"))));
}

TEST_F(VerifyTest, FindsAReportThatIsTornOrAboutAnotherJob) {
  const auto report = media_->DeadLetterFolder(dead_.id) / "report.json";
  std::ofstream(report) << R"({"job": )";
  EXPECT_THAT(Verify(), ElementsAre(HasSubstr("is not JSON")));
  std::ofstream(report) << R"({"job": "job_other", "generation": 1})";
  EXPECT_THAT(Verify(), ElementsAre(HasSubstr("is about another job or generation")));
}

TEST_F(VerifyTest, DoesNotMissTheFolderOfALetterThatWasPurged) {
  std::filesystem::remove_all(media_->DeadLetterFolder(dead_.id));
  DeadLetterRecord letter = samples::SmallLetter(dead_);
  letter.state = DeadLetterRecord::State::kPurged;
  letter.closed_at = samples::At(90);
  std::vector<LedgerChange> changes = {PutDeadLetter{letter}};
  Append(changes, dead_, JobEvent::kPurge, JobState::kDead);
  ledger_->Commit(changes);
  EXPECT_THAT(Verify(), IsEmpty());
}

TEST_F(VerifyTest, FindsAnOpenJobWhoseUploadIsGone) {
  std::filesystem::remove_all(dir_.path() / "uploads" / queued_.request.input.upload);
  EXPECT_THAT(Verify(), ElementsAre(StartsWith(About("uploads", queued_) + "is queued, but")));
}

TEST_F(VerifyTest, FindsAnIndexThatLacksARow) {
  ledger_.reset();
  // Flip one bit in the key of one index entry: every page stays well-formed and in order.
  const auto ask = [this](const char* sql) {
    return SQLite::Database(file_, SQLite::OPEN_READONLY).execAndGet(sql).getString();
  };
  const size_t root =
      std::stoul(ask("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs_by_state'"));
  const size_t page_bytes = std::stoul(ask("PRAGMA page_size"));
  const size_t key = ReadWholeFile(file_).find("cancelled", (root - 1) * page_bytes);
  ASSERT_LT(key, root * page_bytes);
  {
    std::fstream file(file_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(key + 8));
    file.put('e');
  }
  EXPECT_EQ(ask("PRAGMA quick_check"), "ok");
  EXPECT_THAT(Verify(), testing::Contains(AllOf(StartsWith("ledger_file: "),
                                                HasSubstr("missing from index jobs_by_state"))));
}

TEST_F(VerifyTest, FindsRowsThatReferToNothing) {
  Damage("PRAGMA foreign_keys = OFF; DELETE FROM tasks WHERE job_id = '" + succeeded_.id + "'");
  EXPECT_THAT(Verify(), testing::Contains(AllOf(StartsWith("ledger_file: "),
                                                HasSubstr("refers to a row of tasks"))));
}

TEST_F(VerifyTest, SaysWhatIsWrongInTextAndJson) {
  std::filesystem::remove(OutputsOf(succeeded_) / "web.mp4");
  const Findings findings = VerifyDataFolder(dir_.path());
  std::ostringstream text;
  PrintFindings(findings, text);
  EXPECT_THAT(text.str(), AllOf(StartsWith("outputs: " + succeeded_.id + ": "),
                                HasSubstr("\n1 thing is wrong (looked at ")));
  const nlohmann::json json = ToJson(findings);
  EXPECT_EQ(json.at("ok"), false);
  EXPECT_EQ(json.at("findings_total"), 1);
  EXPECT_EQ(json.at("findings").at(0).at("check"), "outputs");
  EXPECT_EQ(json.at("findings").at(0).at("subject"), succeeded_.id);
}

TEST(Verify, RefusesAFolderWithoutALedgerOfThisVersion) {
  TempDir dir;
  EXPECT_THROW(VerifyDataFolder(dir.path()), Error);
  EXPECT_FALSE(std::filesystem::exists(dir.path() / "ledger.db"));
  SQLite::Database(dir.path() / "ledger.db", SQLite::OPEN_READWRITE | SQLite::OPEN_CREATE)
      .exec(ReadWholeFile(MILLRACE_LEDGER_VERSION1));
  try {
    VerifyDataFolder(dir.path());
    ADD_FAILURE() << "was checked";
  } catch (const Error& error) {
    EXPECT_EQ(error.code(), ErrorCode::kInvalidRequest);
    EXPECT_THAT(error.what(), HasSubstr("start a broker of this build once"));
  }
}

TEST(Verify, ReportsAFileThatIsNoDatabase) {
  TempDir dir;
  std::ofstream(dir.path() / "ledger.db") << std::string(9000, 'x');
  const Findings findings = VerifyDataFolder(dir.path());
  ASSERT_EQ(findings.total(), 1);
  EXPECT_EQ(findings.kept()[0].check, "ledger_file");
}

}  // namespace
}  // namespace millrace::broker
