#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "broker/ledger/ledger.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

using samples::At;
using samples::Show;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Pair;
using testing::SizeIs;
using enum DeadLetterRecord::State;

// Twelve letters, two at each moment. Every third has been redriven, every fourth is a crash, of
// worker "b/1"; the others are corrupt media, of worker "a/1", in two signatures.
class DeadLetterListTest : public testing::Test {
 protected:
  DeadLetterListTest() {
    std::vector<LedgerChange> changes;
    for (int i = 0; i < 12; ++i) {
      Job job = samples::SmallJob(At(i));
      job.state = JobState::kDead;
      DeadLetterRecord letter = samples::SmallLetter(job, At(i / 2));
      if (i % 3 == 0) letter.state = kRedriven;
      letter.stage = i % 2 == 0 ? "decode" : "demux";
      letter.worker = "a/1";
      letter.signature = i < 6 ? "early" : "late";
      letter.signature_text = letter.signature + " text";
      letter.input_sha256 = i < 8 ? "same" : "";
      if (i % 4 == 0) {
        letter.code = "poison";
        letter.blame = "worker";
        letter.worker = "b/1";
        letter.signature = "crash";
      }
      letters_.push_back(letter);
      changes.emplace_back(InsertJob{job});
      changes.emplace_back(PutDeadLetter{letter});
    }
    ledger_->Commit(changes);
  }

  // Returns the positions in letters_ of these records.
  std::vector<int> PositionsOf(const std::vector<DeadLetterRecord>& records) {
    std::vector<int> positions;
    for (const DeadLetterRecord& record : records) {
      const auto found = std::ranges::find_if(letters_, [&](const DeadLetterRecord& letter) {
        return letter.job_id == record.job_id && letter.generation == record.generation;
      });
      positions.push_back(static_cast<int>(found - letters_.begin()));
    }
    return positions;
  }

  // Lists with a filter, page by page, and checks that the count agrees.
  std::vector<int> List(DeadLetterFilter filter) {
    const int64_t count = ledger_->CountDeadLetters(filter);
    std::vector<DeadLetterRecord> found;
    do {
      const DeadLetterPage page = ledger_->ListDeadLetters(filter);
      EXPECT_LE(page.letters.size(), static_cast<size_t>(filter.page_size));
      found.insert(found.end(), page.letters.begin(), page.letters.end());
      filter.page_token = page.next_page_token;
    } while (!filter.page_token.empty());
    EXPECT_EQ(static_cast<int64_t>(found.size()), count);
    return PositionsOf(found);
  }

  TempDir dir_;
  std::unique_ptr<Ledger> ledger_ = OpenSqliteLedger(dir_.path() / "ledger.db");
  std::vector<DeadLetterRecord> letters_;
};

TEST_F(DeadLetterListTest, KeepsEveryField) {
  Job job = samples::FullJob();
  job.state = JobState::kDead;
  const DeadLetterRecord letter = samples::FullLetter(job);
  ledger_->Commit({InsertJob{job}, PutDeadLetter{letter}});
  EXPECT_EQ(Show(ledger_->FindDeadLetter(job.id).value()), Show(letter));
  EXPECT_EQ(ledger_->FindDeadLetter(NewJobId()), std::nullopt);
}

TEST_F(DeadLetterListTest, ListsTheOpenOnesNewestFirstWhateverThePageSize) {
  for (const int page_size : {1, 2, 5, 8, 50}) {
    EXPECT_THAT(List({.page_size = page_size}), ElementsAre(11, 10, 8, 7, 5, 4, 2, 1)) << page_size;
  }
}

TEST_F(DeadLetterListTest, ListsAllOrThoseOfOneState) {
  EXPECT_THAT(List({.state = "", .page_size = 5}),
              ElementsAre(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
  EXPECT_THAT(List({.state = "redriven", .page_size = 1}), ElementsAre(9, 6, 3, 0));
  EXPECT_THAT(List({.state = "purged"}), IsEmpty());
}

TEST_F(DeadLetterListTest, FiltersByEachField) {
  EXPECT_THAT(List({.code = "poison", .page_size = 1}), ElementsAre(8, 4));
  EXPECT_THAT(List({.blame = "worker"}), ElementsAre(8, 4));
  EXPECT_THAT(List({.signature = "early", .page_size = 2}), ElementsAre(5, 2, 1));
  EXPECT_THAT(List({.stage = "demux", .page_size = 2}), ElementsAre(11, 7, 5, 1));
  EXPECT_THAT(List({.worker = "b/1"}), ElementsAre(8, 4));
  EXPECT_THAT(List({.died_after = At(1), .died_before = At(4), .page_size = 2}),
              ElementsAre(7, 5, 4));
}

TEST_F(DeadLetterListTest, CombinesAllFilters) {
  EXPECT_THAT(List({.state = "redriven",
                    .code = "corrupt_media",
                    .blame = "media",
                    .signature = "late",
                    .stage = "decode",
                    .worker = "a/1",
                    .died_after = At(2),
                    .died_before = At(4)}),
              ElementsAre(6));
}

TEST_F(DeadLetterListTest, HandsOutOpenOnesOldestFirstForARedrive) {
  EXPECT_THAT(PositionsOf(ledger_->OpenLettersOldestFirst({}, 3)), ElementsAre(1, 2, 4));
  EXPECT_THAT(PositionsOf(ledger_->OpenLettersOldestFirst({.state = ""}, 100)),
              ElementsAre(1, 2, 4, 5, 7, 8, 10, 11));
  EXPECT_THAT(PositionsOf(ledger_->OpenLettersOldestFirst({.signature = "late"}, 100)),
              ElementsAre(7, 10, 11));
}

TEST_F(DeadLetterListTest, GroupsBySignatureTheLargestFirst) {
  const auto groups = ledger_->DeadLetterGroups({.state = ""}, 500);
  ASSERT_THAT(groups, SizeIs(3));
  EXPECT_EQ(groups[0].signature, "late");  // 6, 7, 9, 10, 11
  EXPECT_EQ(groups[0].count, 5);
  EXPECT_EQ(groups[0].inputs, 4) << "two have the same input, of three it is not known";
  EXPECT_EQ(groups[0].first_at, At(3));
  EXPECT_EQ(groups[0].last_at, At(5));
  EXPECT_EQ(groups[0].example_job, letters_[11].job_id);
  EXPECT_EQ(groups[0].signature_text, "late text");
  EXPECT_EQ(groups[0].code, "corrupt_media");
  EXPECT_EQ(groups[0].blame, "media");
  EXPECT_EQ(groups[1].signature, "early");  // 1, 2, 3, 5
  EXPECT_EQ(groups[1].count, 4);
  EXPECT_EQ(groups[1].inputs, 1);
  EXPECT_EQ(groups[2].signature, "crash");
  EXPECT_EQ(groups[2].count, 3);
}

TEST_F(DeadLetterListTest, GroupsWhatAFilterFindsAndNoMoreThanAsked) {
  const auto groups = ledger_->DeadLetterGroups({.stage = "demux"}, 1);
  ASSERT_THAT(groups, SizeIs(1));
  EXPECT_EQ(groups[0].signature, "late");  // 7, 11; as many as "early", but younger
  EXPECT_EQ(groups[0].count, 2);
  EXPECT_THAT(ledger_->DeadLetterGroups({.state = "purged"}, 500), IsEmpty());
}

TEST_F(DeadLetterListTest, FindsTheNewestGenerationOfAJobAndListsBoth) {
  DeadLetterRecord again = letters_[0];
  again.generation = 2;
  again.state = kOpen;
  again.died_at = At(100);
  ledger_->Commit({PutDeadLetter{again}});
  letters_.push_back(again);
  EXPECT_EQ(ledger_->FindDeadLetter(again.job_id)->generation, 2);
  EXPECT_THAT(List({.state = "", .page_size = 1}),
              ElementsAre(12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
}

TEST_F(DeadLetterListTest, PagesThroughGenerationsThatDiedAtTheSameMoment) {
  for (int generation = 2; generation <= 11; ++generation) {
    DeadLetterRecord again = letters_[11];
    again.generation = generation;
    ledger_->Commit({PutDeadLetter{again}});
    letters_.push_back(again);
  }
  EXPECT_THAT(List({.died_after = At(4), .page_size = 1}),
              ElementsAre(21, 20, 19, 18, 17, 16, 15, 14, 13, 12, 11, 10));
}

TEST_F(DeadLetterListTest, LoadsThePoisonousMediaOfOpenLetters) {
  // Letter 0 has been redriven, and the input of letter 8 is not known.
  EXPECT_THAT(ledger_->Load().poison, ElementsAre(Pair("same", letters_[4].job_id)));
  letters_[4].state = kPurged;
  letters_[4].closed_at = At(200);
  ledger_->Commit({PutDeadLetter{letters_[4]}});
  EXPECT_THAT(ledger_->Load().poison, IsEmpty());
  EXPECT_EQ(Show(ledger_->FindDeadLetter(letters_[4].job_id).value()), Show(letters_[4]));
}

TEST_F(DeadLetterListTest, RefusesATokenOfAnotherFilterOrList) {
  const std::string token = ledger_->ListDeadLetters({.page_size = 2}).next_page_token;
  EXPECT_NO_THROW(ledger_->ListDeadLetters({.page_size = 7, .page_token = token}));
  const std::string of_jobs = ledger_->ListJobs({.page_size = 2}).next_page_token;
  for (const DeadLetterFilter& filter : std::vector<DeadLetterFilter>{
           {.state = "", .page_token = token}, {.page_token = of_jobs}, {.page_token = "x"}}) {
    try {
      ledger_->ListDeadLetters(filter);
      ADD_FAILURE() << "was listed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidRequest);
    }
  }
}

}  // namespace
}  // namespace millrace::broker
