#include "tests/chaos/record.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

// Tests the rules that are checked as answers arrive. Each test breaks one promise and names the
// rule that must report it.

namespace millrace::chaos {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::Field;
using testing::IsEmpty;

class RecordTest : public testing::Test {
 protected:
  RecordTest() { record_.Acknowledged({.id = "job_1", .key = "k1"}, Job("queued", 0)); }

  static json Job(const std::string& state, int percent, int generation = 1,
                  const std::string& key = "k1") {
    return {{"id", "job_1"},
            {"state", state},
            {"generation", generation},
            {"external_id", key},
            {"progress", {{"percent", percent}}}};
  }

  void ExpectViolated(const std::string& rule) {
    EXPECT_THAT(record_.Violations(), ElementsAre(Field("rule", &Violation::rule, rule)));
  }

  Record record_;
};

TEST_F(RecordTest, FindsNothingWhereAllIsWell) {
  record_.Seen(Job("running", 40));
  record_.Seen(Job("retry_wait", 40));
  record_.Seen(Job("dead", 40));
  record_.Redriven("job_1");
  EXPECT_EQ(record_.open_count(), 1u);
  record_.Seen(Job("running", 5, 2));
  record_.Seen(Job("succeeded", 100, 2));
  EXPECT_THAT(record_.Violations(), IsEmpty());
  EXPECT_THAT(record_.Open(), IsEmpty());
}

TEST_F(RecordTest, NoticesAPercentageThatFalls) {
  record_.Seen(Job("running", 40));
  record_.Seen(Job("running", 39));
  ExpectViolated("percent never falls");
}

TEST_F(RecordTest, NoticesAPercentageThatFallsAtTheEnd) {
  for (const char* state : {"dead", "cancelled"}) {
    Record record;
    record.Acknowledged({.id = "job_1", .key = "k1"}, Job("running", 40));
    record.Seen(Job(state, 0));
    EXPECT_THAT(record.Violations(),
                ElementsAre(Field("rule", &Violation::rule, "percent never falls")))
        << state;
  }
}

TEST_F(RecordTest, NoticesAHundredPercentOfWhatCannotBeDownloaded) {
  record_.Seen(Job("publishing", 100));
  ExpectViolated("100 percent means that the outputs are there");
}

TEST_F(RecordTest, NoticesASuccessOfLessThanAHundredPercent) {
  record_.Seen(Job("succeeded", 99));
  ExpectViolated("100 percent means that the outputs are there");
}

TEST_F(RecordTest, NoticesAGenerationThatComesBack) {
  record_.Seen(Job("running", 1, 2));
  record_.Seen(Job("running", 1));
  ExpectViolated("generations only grow");
}

TEST_F(RecordTest, NoticesAnEndThatDidNotLast) {
  record_.Seen(Job("cancelled", 0));
  record_.Seen(Job("running", 0));
  ExpectViolated("what has ended stays as it ended");
}

TEST_F(RecordTest, NoticesAnotherJobUnderItsId) {
  record_.Seen(Job("running", 1, 1, "k2"));
  ExpectViolated("a job stays what was asked for");
}

TEST_F(RecordTest, NoticesAnIdThatWasGivenOutTwice) {
  record_.Acknowledged({.id = "job_1", .key = "k2"}, Job("queued", 0, 1, "k2"));
  ExpectViolated("each submission is a job of its own");
}

TEST_F(RecordTest, NoticesALostJobOnce) {
  record_.Lost("job_1");
  record_.Lost("job_1");
  ExpectViolated("no acknowledged job is lost");
}

}  // namespace
}  // namespace millrace::chaos
