#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>

#include "broker/job_reader.h"
#include "broker/ledger/ledger.h"
#include "tests/broker/sample_records.h"
#include "tests/fakes/temp_dir.h"

namespace millrace::broker {
namespace {

using samples::At;
using testing::ElementsAre;
using testing::IsEmpty;

// Twelve jobs, two at each moment; every third is dead, every fourth is of team "news", every
// sixth has the external id "asset".
class JobListTest : public testing::Test {
 protected:
  JobListTest() {
    std::vector<LedgerChange> changes;
    for (int i = 0; i < 12; ++i) {
      Job job = samples::SmallJob(At(i / 2));
      if (i % 3 == 0) job.state = JobState::kDead;
      if (i % 3 == 1) job.state = JobState::kRunning;
      job.request.labels["all"] = "yes";
      if (i % 4 == 0) job.request.labels["team"] = "news";
      if (i % 6 == 0) job.request.external_id = "asset";
      jobs_.push_back(job);
      changes.emplace_back(InsertJob{job});
    }
    ledger_->Commit(changes);
  }

  // Returns the positions in jobs_ that a filter lists, page by page.
  std::vector<int> List(JobFilter filter) {
    std::vector<int> found;
    do {
      const JobPage page = ledger_->ListJobs(filter);
      EXPECT_LE(page.jobs.size(), static_cast<size_t>(filter.page_size));
      for (const Job& job : page.jobs) {
        found.push_back(
            static_cast<int>(std::ranges::find(jobs_, job.id, &Job::id) - jobs_.begin()));
      }
      filter.page_token = page.next_page_token;
    } while (!filter.page_token.empty());
    return found;
  }

  TempDir dir_;
  std::unique_ptr<Ledger> ledger_ = OpenSqliteLedger(dir_.path() / "ledger.db");
  std::vector<Job> jobs_;
};

TEST_F(JobListTest, ListsEverythingNewestFirstWhateverThePageSize) {
  for (const int page_size : {1, 2, 5, 12, 50}) {
    EXPECT_THAT(List({.page_size = page_size}), ElementsAre(11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0))
        << page_size;
  }
}

TEST_F(JobListTest, ListsOldestFirstOnRequest) {
  EXPECT_THAT(List({.newest_first = false, .page_size = 5}),
              ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11));
}

TEST_F(JobListTest, FiltersByOneState) {
  EXPECT_THAT(List({.states = {JobState::kDead}, .page_size = 3}), ElementsAre(9, 6, 3, 0));
}

TEST_F(JobListTest, MergesSeveralStatesInOrderAndListsNoneTwice) {
  EXPECT_THAT(
      List({.states = {JobState::kRunning, JobState::kDead, JobState::kRunning}, .page_size = 3}),
      ElementsAre(10, 9, 7, 6, 4, 3, 1, 0));
}

TEST_F(JobListTest, FiltersByLabels) {
  EXPECT_THAT(List({.labels = {{"team", "news"}}, .page_size = 2}), ElementsAre(8, 4, 0));
  EXPECT_THAT(List({.labels = {{"all", "yes"}, {"team", "news"}}, .page_size = 2}),
              ElementsAre(8, 4, 0));
  EXPECT_THAT(List({.labels = {{"all", "yes"}, {"team", "sport"}}}), IsEmpty());
}

TEST_F(JobListTest, FiltersByExternalId) {
  EXPECT_THAT(List({.external_id = "asset", .page_size = 1}), ElementsAre(6, 0));
  EXPECT_THAT(List({.external_id = "other"}), IsEmpty());
}

TEST_F(JobListTest, FiltersByTimeWithoutTheBounds) {
  EXPECT_THAT(List({.created_after = At(1), .created_before = At(4), .page_size = 3}),
              ElementsAre(7, 6, 5, 4));
}

TEST_F(JobListTest, CombinesAllFilters) {
  const JobFilter filter{.states = {JobState::kDead, JobState::kQueued},
                         .labels = {{"team", "news"}, {"all", "yes"}},
                         .external_id = "asset",
                         .created_after = At(-1),
                         .created_before = At(5),
                         .newest_first = false,
                         .page_size = 1};
  EXPECT_THAT(List(filter), ElementsAre(0));
}

TEST_F(JobListTest, EndsWithoutATokenWhenThePageHoldsExactlyTheRest) {
  EXPECT_THAT(ledger_->ListJobs({.page_size = 12}).next_page_token, IsEmpty());
}

TEST_F(JobListTest, LeavesNothingOutWhenJobsArriveBetweenPages) {
  const JobPage first = ledger_->ListJobs({.page_size = 6});
  ledger_->Commit({InsertJob{samples::SmallJob(At(100))}});
  EXPECT_THAT(List({.page_size = 6, .page_token = first.next_page_token}),
              ElementsAre(5, 4, 3, 2, 1, 0));
}

TEST_F(JobListTest, RefusesATokenOfAnotherFilterAndForeignText) {
  const std::string token = ledger_->ListJobs({.page_size = 2}).next_page_token;
  EXPECT_NO_THROW(ledger_->ListJobs({.page_size = 7, .page_token = token}));
  const auto refused = [&](const JobFilter& filter) {
    try {
      ledger_->ListJobs(filter);
      ADD_FAILURE() << "was listed";
    } catch (const Error& error) {
      EXPECT_EQ(error.code(), ErrorCode::kInvalidRequest);
      ASSERT_EQ(error.fields().size(), 1U);
      EXPECT_EQ(error.fields()[0].pointer, "/page_token");
    }
  };
  refused({.states = {JobState::kDead}, .page_token = token});
  refused({.newest_first = false, .page_token = token});
  refused({.page_token = "nonsense"});
  refused({.page_token = "a.b"});
  refused({.page_token = "a.zz.c"});
}

TEST(ParseJobFilter, ReadsEveryField) {
  const JobFilter filter = ParseJobFilter({{"states", {"dead", "queued"}},
                                           {"labels", {{"team", "news"}}},
                                           {"external_id", "asset"},
                                           {"created_after", "2026-01-02T03:04:05Z"},
                                           {"created_before", "2026-01-03T03:04:05Z"},
                                           {"order", "asc"},
                                           {"page_size", 7},
                                           {"page_token", "a.b.c"}});
  EXPECT_THAT(filter.states, ElementsAre(JobState::kDead, JobState::kQueued));
  EXPECT_THAT(filter.labels, ElementsAre(std::pair<std::string, std::string>("team", "news")));
  EXPECT_EQ(filter.external_id, "asset");
  EXPECT_EQ(FormatTime(filter.created_after.value()), "2026-01-02T03:04:05.000Z");
  EXPECT_EQ(FormatTime(filter.created_before.value()), "2026-01-03T03:04:05.000Z");
  EXPECT_FALSE(filter.newest_first);
  EXPECT_EQ(filter.page_size, 7);
  EXPECT_EQ(filter.page_token, "a.b.c");
}

TEST(ParseJobFilter, TakesEmptyTextForAbsent) {
  const JobFilter filter = ParseJobFilter({{"external_id", ""}, {"page_token", ""}});
  EXPECT_EQ(filter.external_id, "");
  EXPECT_EQ(filter.page_token, "");
  EXPECT_TRUE(filter.newest_first);
  EXPECT_EQ(filter.page_size, 50);
}

TEST(ParseJobFilter, NamesEveryWrongField) {
  try {
    ParseJobFilter({{"states", {"dead", "asleep"}},
                    {"labels", {{"team", 3}}},
                    {"external_id", 3},
                    {"created_after", "yesterday"},
                    {"created_before", 5},
                    {"order", "up"},
                    {"page_size", 501},
                    {"page_token", 1}});
    ADD_FAILURE() << "was accepted";
  } catch (const Error& error) {
    std::vector<std::string> pointers;
    for (const FieldError& field : error.fields()) pointers.push_back(field.pointer);
    EXPECT_THAT(pointers, testing::UnorderedElementsAre("/states", "/labels", "/external_id",
                                                        "/created_after", "/created_before",
                                                        "/order", "/page_size", "/page_token"));
  }
}

}  // namespace
}  // namespace millrace::broker
